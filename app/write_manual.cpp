// Puts the option table's text into docs/MANUAL.md, between its two marker lines.
#include <fstream>
#include <iostream>
#include <sstream>

#include "app/help.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  std::stringstream manual;
  manual << std::ifstream(argv[1]).rdbuf();
  std::string text = manual.str();
  const std::string begin_mark = "<!-- options -->\n", end_mark = "<!-- end of options -->\n";
  const size_t begin = text.find(begin_mark);
  const size_t end = text.find(end_mark);
  if (begin == std::string::npos || end == std::string::npos || end < begin) {
    std::cerr << argv[1] << ": the marker lines are missing\n";
    return 1;
  }
  const size_t start = begin + begin_mark.size();
  text.replace(start, end - start, hv::manual_options());
  std::ofstream(argv[1]) << text;
  return 0;
}
