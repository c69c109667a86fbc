# Turns a JSON file into a C++ file that defines tatr::NAME, one of the strings that config/schema.hpp declares:
#   cmake -DINPUT=x.schema.json -DOUTPUT=x.cpp -DNAME=kX -P embed.cmake
foreach(argument INPUT OUTPUT NAME)
  if(NOT ${argument})
    message(FATAL_ERROR "embed.cmake needs -D${argument}=")
  endif()
endforeach()
file(READ "${INPUT}" text)
string(FIND "${text}" ")json\"" end_mark)
if(NOT end_mark EQUAL -1)
  message(FATAL_ERROR "${INPUT} holds )json\", which ends a piece of the raw string")
endif()
# One raw string a line: compilers limit the length of a literal, not of what adjacent ones make together.
string(REPLACE "\n" "\n)json\"\n    R\"json(" text "${text}")
set(code "// Made from a JSON file by src/config/embed.cmake.\n#include \"config/schema.hpp\"\n\nnamespace tatr {\n\n")
string(APPEND code "const std::string_view ${NAME} =\n    R\"json(${text})json\";\n\n}  // namespace tatr\n")
file(WRITE "${OUTPUT}" "${code}")
