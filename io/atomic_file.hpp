// Files that are there whole or not at all. Every writer in io/ goes through here.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <span>

namespace weft {

/// Writes a file under another name beside it, brings it to the disk, and only then gives it its
/// name: a reader, or a power cut, meets the old file or the new one. A link is followed, and the
/// permissions of a file that was there are kept. A pipe, a terminal or another device stays what it
/// is, and gets the bytes when they are all there. A process that is killed meanwhile leaves that
/// other file, ".m.h5.weft-...tmp"; the next one that writes into the folder removes it.
///   write    is given the path of an empty file to fill; when it throws, what was there stays
///   throws   IoError naming the file and the step that the system refused; what `write` throws
void write_atomically(const std::filesystem::path& file,
                      const std::function<void(const std::filesystem::path&)>& write);

/// The same for bytes in memory, one part after another.
void write_atomically(const std::filesystem::path& file,
                      std::initializer_list<std::span<const std::byte>> parts);

/// Writes bytes into a file as it stands: for who is given a path by write_atomically. Throws as
/// that does.
void write_file(const std::filesystem::path& file, std::span<const std::byte> bytes);

/// Throws as write_atomically would, before there is anything to write: for what takes long.
void expect_writable(const std::filesystem::path& file);

/// Renames a file or a folder, and brings its new name to the disk. Throws IoError.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace weft
