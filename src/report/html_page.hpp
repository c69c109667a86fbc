// The page of `tatr-sim report`: results with a reader, in one HTML file that needs nothing else. Decides how results
// are put into the page so that nothing in them can act as markup; what is shown is decided by the scripts in page/,
// which draw it from the results when the page is opened.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "records/result_documents.hpp"

namespace tatr {

extern const std::string_view kPageTemplate;  // page/page.html, with {{style}}, {{results}} and {{script}}
extern const std::string_view kPageStyle;     // page/page.css
extern const std::string_view kPageColours;   // scripts/plot_colours.json: plot.py has the same
extern const std::string_view kPageScript;    // page/*.js

/// Results as the page carries them: their text only, as soon as they are added.
class PageResults {
 public:
  /// Throws ConfigError at what the page cannot show.
  void add(const ResultDocument& result);

  const std::string& text() const { return text_; }
  std::size_t experiments() const { return experiments_; }

 private:
  std::string text_;
  std::size_t experiments_ = 0;
};

/// Writes the page as UTF-8, part by part. Bytes of names that are no UTF-8 become U+FFFD.
void write_page(const PageResults& results, const std::function<void(std::string_view)>& write);

}  // namespace tatr
