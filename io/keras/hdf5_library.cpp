#include "io/keras/hdf5_library.hpp"

namespace weft::hdf5 {

std::recursive_mutex& library() {
  static std::recursive_mutex mutex;
  static const bool ready = [] {
    H5dont_atexit();  // after a write that failed, its own end of the program crashes
    H5open();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // errors are exceptions here, not text
    return true;
  }();
  static_cast<void>(ready);
  return mutex;
}

std::string complaint() {
  std::string text;
  const auto walk = [](unsigned, const H5E_error2_t* error, void* data) -> herr_t {
    *static_cast<std::string*>(data) = error->desc == nullptr ? "" : error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, walk, &text);
  H5Eclear2(H5E_DEFAULT);
  return text.empty() ? "it is damaged" : text;
}

Hdf5Handle type_of_text(std::size_t size, H5T_cset_t charset) {
  Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(*type, size);
  H5Tset_cset(*type, charset);
  if (size != H5T_VARIABLE) H5Tset_strpad(*type, H5T_STR_NULLPAD);
  return type;
}

}  // namespace weft::hdf5
