#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace unireplk::config {

/// The entry of `known` that `word` is probably a slip of; empty when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

/// `Did you mean "name"? Known: depth, name, width.`
std::string suggestion(std::string_view word, std::vector<std::string> known);

/// "a, b, c"
std::string comma_list(const std::vector<std::string>& words);

/// "a model", "an optimizer"
std::string with_article(std::string_view noun);

}  // namespace unireplk::config
