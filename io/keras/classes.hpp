// Tables of Keras' classes: which struct of ours each is, read and written by its describe(). For
// io/ alone.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "graph/print.hpp"
#include "io/keras/fields.hpp"
#include "nn/names.hpp"

namespace weft::keras {

/// A class of Keras' whose objects stand in configs, and what of it is written.
template <class Any>
struct Class {
  std::string_view name;
  Any (*read)(ReadFields&);
  /// False if the object is of another class.
  bool (*write)(const Any&, WriteFields&);
};

/// T has a function describe(nn::Fields&, T&) in this namespace, which need not be declared yet.
template <class Any, class T>
constexpr Class<Any> class_of(std::string_view name) {
  return {name,
          [](ReadFields& fields) -> Any {
            T object{};
            describe(fields, object);
            return object;
          },
          [](const Any& any, WriteFields& fields) {
            const T* object = any.template as<T>();
            if (object == nullptr) return false;
            T copy = *object;
            describe(fields, copy);
            return true;
          }};
}

/// Keras 1 and 2 write the class as a name at times: "glorot_uniform", "l2".
template <class Any, std::size_t N>
Any read_object(const Json& value, const std::string& where, std::string_view kind,
                const std::array<Class<Any>, N>& classes) {
  static const Json none = Json::object();
  const bool is_name = value.is_string();
  const Described object =
      is_name ? Described{value.get<std::string>(), &none} : described(value, where);
  for (const Class<Any>& known : classes) {
    if (!nn::same_name(known.name, object.class_name)) continue;
    ReadFields fields(*object.config, fmt::format("{}: {}", where, object.class_name),
                      Generation::keras3);
    for (const char* key : {"name", "dtype", "input_axes", "output_axes"}) fields.ignore(key);
    const Any any = known.read(fields);
    fields.finish();
    return any;
  }
  fail<UnsupportedError>("{}: there is no {} \"{}\"", where, kind, object.class_name);
}

template <class Any, std::size_t N>
Json write_object(const Any& any, const std::string& where, std::string_view kind,
                  std::string_view module, const std::array<Class<Any>, N>& classes,
                  Generation to) {
  for (const Class<Any>& known : classes) {
    Json config = Json::object();
    WriteFields fields(config, where, to);
    if (known.write(any, fields)) return object_of(module, known.name, std::move(config), to);
  }
  fail<UnsupportedError>("{}: {} \"{}\" is a function of the program's, which no file can hold",
                         where, kind, any.name);
}

}  // namespace weft::keras
