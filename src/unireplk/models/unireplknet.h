#pragma once

#include <ATen/core/Generator.h>

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/nn/block.h"
#include "unireplk/nn/layers.h"

namespace unireplk::models {

inline constexpr size_t kStages = 4;
inline constexpr int64_t kMostBlocks = 1000;  ///< of one stage; bounds what a file may ask for
using PerStage = std::array<int64_t, kStages>;

/// Branches that replace the published ones for one kernel size, in all stages or in one.
struct BranchRule {
  int64_t kernel_size = 0;
  std::optional<int64_t> stage;
  std::vector<std::array<int64_t, 2>> branches;  ///< (kernel, dilation)

  static void fields(auto& self, auto&& visit) {
    visit("kernel_size", self.kernel_size, config::at_least(7), "Blocks with this kernel are meant.");
    visit("stage", self.stage, "Only in this stage, 0 to 3; all stages when left out.");
    visit("branches", self.branches, "Pairs [kernel, dilation]; an empty list: the large kernel alone.");
  }
  bool operator==(const BranchRule&) const = default;
};

/// What the user says of a published variant: `backbone: {name: unireplknet_a, ...}`.
struct BackboneConfig {
  double drop_path = 0.0;
  double layer_scale_init = 1e-6;
  std::vector<std::vector<int64_t>> kernel_sizes;
  std::vector<BranchRule> branches;
  std::optional<int64_t> in_channels;
  bool checkpointing = false;
  bool keep_branches = false;

  static void fields(auto& self, auto&& visit) {
    visit("drop_path", self.drop_path, config::below_one, "Rate of the last block; rises evenly from 0.");
    visit("layer_scale_init", self.layer_scale_init, config::non_negative, "Start of layer scale; 0: no layer scale.");
    visit("kernel_sizes", self.kernel_sizes,
          "Kernel size of each block, one list a stage: 0, 3, 5 or odd from 7. Left out: as published.");
    visit("branches", self.branches, "Dilated branches that replace the published ones.");
    visit("in_channels", self.in_channels, config::at_least(1),
          "Channels of the input map; from the data when left out.");
    visit("checkpointing", self.checkpointing, "Recompute activations in backward: less memory, a third more time.");
    visit("keep_branches", self.keep_branches,
          "Keep dilated branches for backward, which else computes them again: more memory, a little less time (CPU).");
  }
};

/// `backbone: {name: unireplknet, depths: [...], dims: [...], ...}`.
struct CustomBackboneConfig : BackboneConfig {
  PerStage depths{2, 2, 6, 2};
  PerStage dims{40, 80, 160, 320};

  static void fields(auto& self, auto&& visit) {
    visit("depths", self.depths, config::at_least(1), "Blocks of each stage.");
    visit("dims", self.dims, config::at_least(4), "Channels of each stage; the first must be even.");
    BackboneConfig::fields(self, visit);
  }
};

/// What a network puts out.
enum class Mode {
  kClassifier,  ///< logits [N, classes]
  kFeatures,    ///< four channel-normalised maps
  kTrunk        ///< the raw map of the last stage that is built
};

/// A whole network in plain numbers.
struct UniRepLKNetOptions {
  PerStage depths{2, 2, 6, 2};
  PerStage dims{40, 80, 160, 320};
  std::vector<std::vector<int64_t>> kernel_sizes = {};  ///< empty: as published for these depths
  std::vector<BranchRule> branches = {};
  int64_t in_channels = 3;
  int64_t num_classes = 1000;
  Mode mode = Mode::kClassifier;
  int64_t stages = kStages;  ///< that are built, the first ones; fewer than all in trunk mode alone
  double drop_path = 0.0;
  double layer_scale_init = 1e-6;
  bool checkpointing = false;
  bool keep_branches = false;
  bool deploy = false;

  size_t num_stages() const { return static_cast<size_t>(stages); }

  bool operator==(const UniRepLKNetOptions&) const = default;
};

struct Variant {
  std::string name;  ///< "unireplknet_a"
  PerStage depths;
  PerStage dims;
};

/// The nine published variants, small to large (spec: model, section 1.1).
const std::vector<Variant>& variants();

/// \throws UserError listing the known names.
const Variant& find_variant(const std::string& name);

/// Options of a published variant, as a 1000-class classifier.
UniRepLKNetOptions variant_options(const std::string& name);

/// Check options and fill in the published kernel sizes where none are given.
/// \throws UserError for list lengths, kernel sizes and branches that do not fit, and for depths that are not
/// published
///   and come without kernel sizes.
UniRepLKNetOptions resolved(UniRepLKNetOptions options);

/// Options of one block of resolved network options.
nn::BlockOptions block_options(const UniRepLKNetOptions& options, size_t stage, size_t index,
                               at::TensorOptions tensor = {});

/// "stages.{stage}.{index}"
std::string block_name(size_t stage, size_t index);

/// UniRepLKNet (arXiv 2311.15599; spec: model, section 1) in train or deploy form, with the official
/// state-dict names.
///
/// A new network has unset weights: follow with initialise() or load_state_dict().
struct UniRepLKNetImpl : torch::nn::Module {
  /// \param tensor  dtype and device of the weights; on the meta device nothing is allocated.
  explicit UniRepLKNetImpl(const UniRepLKNetOptions& options, at::TensorOptions tensor = {});

  /// Logits [N, classes], or the last map in trunk mode.
  /// \param x          [N, in_channels, H, W], floating, any size from 1 and any strides (channels_last costs
  /// no copy). \param generator  on the device of x; needed in training when drop path is on, else unused.
  at::Tensor forward(const at::Tensor& x, std::optional<at::Generator> generator = std::nullopt);

  /// The four maps [N, dims[s], H / 2^(s+2), W / 2^(s+2)] (halved rounding up), normalised in feature mode.
  std::vector<at::Tensor> features(const at::Tensor& x, std::optional<at::Generator> generator = std::nullopt);

  /// How to run one block on its input: block number in the whole network, the block, the map.
  using RunBlock = std::function<at::Tensor(size_t number, nn::BlockImpl& block, const at::Tensor& x)>;

  /// The raw maps of the four stages with every block run by `run`.
  std::vector<at::Tensor> stage_maps(const at::Tensor& x, const RunBlock& run);

  /// Run without gradients and without moving running statistics, telling the output of each part by its name, in the
  /// order of computation: "downsample_layers.0", "stages.0.0.norm", ... "stages.0.0", ... "head".
  void observe(const at::Tensor& x, std::optional<at::Generator> generator, const nn::PartObserver& observer);

  /// From the last raw map to logits. Classifier mode only.
  at::Tensor classify(const at::Tensor& last_map);

  /// Merge every block, in place.
  void merge();

  const UniRepLKNetOptions& options() const { return options_; }
  const std::vector<nn::Block>& blocks() const { return blocks_; }  ///< of all stages, in order

  std::vector<nn::ChannelNorm> stage_norms;  ///< norm0..norm3 in feature mode
  nn::ChannelNorm norm{nullptr};             ///< classifier mode
  nn::Linear head{nullptr};                  ///< classifier mode

 private:
  struct Downsample {
    std::vector<nn::Conv2d> convs;
    std::vector<nn::ChannelNorm> norms;
  };

  void build_downsample_layers(at::TensorOptions tensor);
  void build_stages(at::TensorOptions tensor);
  std::vector<at::Tensor> drop_masks(const at::Tensor& x, std::optional<at::Generator> generator) const;
  std::vector<at::Tensor> maps(const at::Tensor& x, std::optional<at::Generator> generator);

  UniRepLKNetOptions options_;
  std::vector<Downsample> downsample_;
  std::vector<nn::Block> blocks_;
  std::vector<double> drop_rates_;
};
TORCH_MODULE(UniRepLKNet);

/// Draw all weights (nn::initialise), then scale weight and bias of the head.
void initialise(UniRepLKNetImpl& network, at::Generator generator, double head_init_scale = 1.0);

}  // namespace unireplk::models
