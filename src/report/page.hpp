// The page of `tatr-sim report`: results with a reader, in one HTML file that needs nothing else. Decides how results
// are put into the page so that nothing in them can act as markup; what is shown is decided by the scripts in page/,
// which draw it from the results when the page is opened.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/results.hpp"

namespace tatr {

extern const std::string_view kPageTemplate;  // page/page.html, with {{style}}, {{results}} and {{script}}
extern const std::string_view kPageStyle;     // page/page.css
extern const std::string_view kPageScript;    // page/*.js

/// The page as UTF-8. Bytes of names that are no UTF-8 become U+FFFD.
std::string html_page(const std::vector<ResultDocument>& results);

}  // namespace tatr
