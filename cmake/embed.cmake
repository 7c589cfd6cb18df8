# Makes a .cpp that holds a file's bytes: cmake -DFROM=page.html -DTO=page.cpp -DNAME=page -P embed.cmake
# defines `extern const std::string_view page` in namespace weft.
file(READ ${FROM} bytes HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
file(WRITE ${TO} "#include <string_view>\n\nnamespace weft {\nnamespace {\nconst unsigned char bytes[] = {\n${bytes}};\n}\n\
extern const std::string_view ${NAME};\nconst std::string_view ${NAME}(reinterpret_cast<const char*>(bytes), sizeof bytes);\n}\n")
