#pragma once

/// Pairs of lines of a map (rows, or columns) between which two convolutions of 13 taps, one behind the other, carry
/// something: z(p) = sum_j w[j] x(p + j) and then out(q) = sum_j v[j] z(q - j), j in [-6, 6], p inside the map. Line q
/// takes from line q' what the taps j = q - p and j' = q' - p make of it, over the lines p that both reach. Which p lie
/// in the map depends on the border only where both lines are within 6 of it, so for maps of at least 12 lines there
/// are 97 kinds of pairs, whatever the size: rows and columns have the same ones. In a map of few lines, at most 9,
/// each pair is a kind of its own. Plain numbers, so that the host can check them.
namespace unireplk::kernels::cuda {

inline constexpr int kPairReach = 6;  ///< of a convolution
inline constexpr int kPairTaps = 2 * kPairReach + 1;
inline constexpr int kFarthest = 2 * kPairReach;  ///< distance q' - q of lines that meet
inline constexpr int kDistances = 2 * kFarthest + 1;
inline constexpr int kKinds = 97;
inline constexpr int kNoKind = -1;
inline constexpr int kFewestLines = 2 * kPairReach;  ///< of a map where no pair is near both borders
inline constexpr int kMostFewLines = 9;              ///< of a map in which each pair is a kind of its own
inline constexpr int kMostLines = 31;                ///< of a map

constexpr bool has_few(int lines) { return lines < kFewestLines; }

constexpr int magnitude(int distance) { return distance < 0 ? -distance : distance; }

/// Pairs of taps (j, j + distance).
constexpr int tap_pairs(int distance) { return kPairTaps - magnitude(distance); }

/// Pairs of lines of this distance within 6 of one border.
constexpr int border_pairs(int distance) {
  return magnitude(distance) < kPairReach ? kPairReach - magnitude(distance) : 0;
}

inline constexpr int kKindsAhead = 55;  ///< of distances 0 and more

/// Kinds of a distance that is not negative, which follow each other: all tap pairs; the first 7, 8, ..., of lines near
/// the first border; the last 7, 8, ..., of lines near the other one.
constexpr int kinds_of(int distance) { return 1 + 2 * border_pairs(distance); }

/// From kKinds - kKindsAhead on.
constexpr int first_kind(int distance) {
  const int border = border_pairs(distance);
  return border > 0 ? 91 - (border + 1) * (border + 1) : 84 + distance;
}

/// The kind when two lines that are not the same change places.
constexpr int opposite_kind(int kind) { return kKinds - 1 - kind; }

/// Whether lines that meet do so with all taps, and are no kind of their own.
constexpr bool is_inside(int line, int other, int lines) {
  if (has_few(lines)) return false;
  const bool near_first = line < kPairReach && other < kPairReach;
  const bool near_last = line >= lines - kPairReach && other >= lines - kPairReach;
  return !near_first && !near_last;
}

/// The kind of lines for which is_inside() holds.
constexpr int inside_kind(int distance) {
  return distance < 0 ? opposite_kind(first_kind(-distance)) : first_kind(distance);
}

/// \return kNoKind if the lines do not meet.
constexpr int kind_of(int line, int other, int lines) {
  if (has_few(lines)) return line * lines + other;
  const int distance = magnitude(other - line);
  if (distance > kFarthest) return kNoKind;
  const int low = other < line ? other : line;
  int kind = first_kind(distance);
  if (!is_inside(line, other, lines)) {
    kind += 1 + (low + distance < kPairReach ? low : border_pairs(distance) + lines - 1 - low - distance);
  }
  return other < line ? opposite_kind(kind) : kind;
}

/// Of a line with itself: 0, 1, ...
inline constexpr int kOwnKinds = kinds_of(0);
constexpr int own_kind(int line, int lines) {
  return has_few(lines) ? line : kind_of(line, line, lines) - first_kind(0);
}

/// Number of the pair of lines r <= s among those of a map, or of an edge of it, of `lines` lines.
constexpr int ordered_pair(int r, int s, int lines) { return r * lines - r * (r - 1) / 2 + s - r; }
constexpr int ordered_pairs(int lines) { return lines * (lines + 1) / 2; }

/// The pair r <= s of a number of ordered_pair().
struct OrderedPair {
  int r = 0, s;

  constexpr OrderedPair(int number, int lines) {
    while (ordered_pair(r + 1, r + 1, lines) <= number) ++r;
    s = r + number - ordered_pair(r, r, lines);
  }
};

/// Pairs of taps (i, i + distance), counted from 0 on, by which line `low` takes from line low + distance: those for
/// which p lies in the map.
struct TapPairs {
  int first, last;

  constexpr TapPairs(int low, int distance, int lines) : first(low - lines + 1 + kPairReach), last(low + kPairReach) {
    if (first < 0) first = 0;
    if (last > kFarthest - distance) last = kFarthest - distance;
  }
};

}  // namespace unireplk::kernels::cuda
