#include "report/page.hpp"

namespace tatr {

namespace {

using nlohmann::json;

/// JSON without <, > and &: inside <script> it can neither end the element nor open a comment. Such characters stand in
/// strings only, where an escape means the same.
std::string inert_json(const json& value) {
  std::string inert;
  for (const char c : value.dump(-1, ' ', false, json::error_handler_t::replace)) {
    switch (c) {
      case '<':
        inert += "\\u003c";
        break;
      case '>':
        inert += "\\u003e";
        break;
      case '&':
        inert += "\\u0026";
        break;
      default:
        inert += c;
    }
  }
  return inert;
}

}  // namespace

std::string html_page(const std::vector<ResultDocument>& results) {
  json documents = json::array();
  for (const ResultDocument& result : results) {
    documents.push_back({{"source", result.source}, {"result", result.document}});
  }
  std::string page;
  std::string_view rest = kPageTemplate;  // only the template is searched for marks, never what replaces one
  const auto replace = [&](std::string_view mark, std::string_view text) {
    const std::size_t at = rest.find(mark);
    page.append(rest.substr(0, at)).append(text);
    rest.remove_prefix(at + mark.size());
  };
  replace("{{style}}", kPageStyle);
  replace("{{results}}", inert_json(documents));
  replace("{{script}}", kPageScript);
  return page.append(rest);
}

}  // namespace tatr
