#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "unireplk/core/error.h"

namespace unireplk::data {

/// Problems that are told of one list; more would say the same.
inline constexpr size_t kMaxProblems = 20;

/// Names in the order of their labels where nobody says another: by their bytes, or by value when all are whole
/// numbers.
std::vector<std::string> sorted_classes(const std::set<std::string>& names);

/// The label of each class. \throws UserError when a class comes twice; \param place  named then.
std::map<std::string, int64_t> labels_of(const std::vector<std::string>& classes, const std::string& place);

/// Names of the classes that labels of a file point to: from a text file, one a line, or their numbers up to the
/// largest. \throws UserError naming the first item whose label is none of them, and when the text file holds nothing.
std::vector<std::string> classes_of(std::span<const int64_t> labels, const std::filesystem::path& labels_file,
                                    const std::optional<std::filesystem::path>& names_file);

}  // namespace unireplk::data
