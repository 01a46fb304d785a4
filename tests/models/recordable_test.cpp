#include "unireplk/models/recordable.h"

#include <memory>

#include "support/catch.h"
#include "unireplk/models/unireplknet.h"
#include "unireplk/nn/synchronise.h"

namespace unireplk::models {
namespace {

/// Of one process.
class Alone : public Collective {
 public:
  Rank rank() const override { return {}; }
  at::Tensor all_gather(const at::Tensor& mine) override { return mine.unsqueeze(0); }
  at::Tensor all_reduce(const at::Tensor& mine) override { return mine; }
};

TEST_CASE("unrecordable_part: norms of several processes and recomputed blocks keep a network from being recorded") {
  auto options = variant_options("unireplknet_a");
  const UniRepLKNet network(options);
  CHECK(unrecordable_part(*network).empty());
  nn::synchronise_norms(*network.ptr(), std::make_shared<Alone>());
  CHECK(unrecordable_part(*network) == "batch norms wait for other processes");
  options.checkpointing = true;
  CHECK(unrecordable_part(*UniRepLKNet(options)) ==
        "model.backbone.checkpointing runs parts of the network again within the backward pass");
}

}  // namespace
}  // namespace unireplk::models
