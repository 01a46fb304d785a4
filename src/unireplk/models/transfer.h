#pragma once

#include <map>
#include <string>
#include <vector>

#include "unireplk/models/state_dict.h"

/// Weights of one network as the start of another: other classes, other channels, another depth.
namespace unireplk::models {

/// What becomes of the first convolution where the file has another number of channels: refused; each of its n kernels
/// the sum over the file's channels divided by n, so that n equal channels are seen as a grey photo was; or their mean.
enum class StemRule { kExact, kSum, kMean };

struct TransferOptions {
  std::string place;                               ///< where the weights came from, for messages
  std::map<std::string, std::string> rename = {};  ///< beginnings of names in the file -> in the network
  std::vector<std::string> skip = {};              ///< patterns (core/name_pattern.h) of what starts anew all the same
  StemRule stem = StemRule::kExact;
  bool partial = false;  ///< load what fits, whatever else does not
};

enum class Fate { kLoaded, kAdapted, kFresh, kUnused };

/// What became of one tensor of the network, or of the file.
struct TransferRow {
  std::string name;
  Fate fate = Fate::kLoaded;
  std::string reason = {};  ///< "another shape", "not in the file", ...; empty when it was simply loaded
  std::string detail = {};  ///< shapes, when they are the reason
};

/// Load what fits; the rest of the network keeps the values it has.
///
/// What may fail to fit: the head, whose shape follows the number of classes; what `skip` names; with a `stem`
/// rule the first convolution. All else is refused unless `partial`. Names lose prefixes as in
/// load_state_dict(). Nothing is changed when it throws.
///
/// \return a row for every tensor of the network in its order, then for those of the file that found no place.
/// \throws UserError naming what does not fit, or when nothing does.
std::vector<TransferRow> transfer(torch::nn::Module& network, const NamedTensors& weights,
                                  const TransferOptions& options);

}  // namespace unireplk::models
