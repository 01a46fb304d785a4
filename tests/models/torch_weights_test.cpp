#include <ATen/core/grad_mode.h>

#include "models/filled.h"
#include "support/catch.h"
#include "support/golden.h"
#include "support/python.h"
#include "support/tolerances.h"
#include "unireplk/io/weight_file.h"
#include "unireplk/models/describe.h"

namespace unireplk::models {
namespace {

/// Logits of the network that a weight file describes and fills, against the reference's.
void check_logits_of(const std::filesystem::path& path, const std::string& variant) {
  const auto file = io::read_weights(path);
  UniRepLKNet network(infer_options(file.content.tensors, path.string()));
  CHECK(variant_name(infer_options(file.content.tensors, path.string())) == "unireplknet_" + variant);
  load_state_dict(*network, file.content.tensors, {.place = path.string()});
  network->eval();
  const auto golden = test::golden_tensors("logits");
  const auto* exact = golden.find(variant + ".f64");
  REQUIRE(exact);
  const at::NoGradGuard no_graph;
  CHECK(test::relative_difference(network->forward(test::formula_input({2, 3, 64, 64})), *exact) <= test::kOutputF32);
}

}  // namespace

TEST_CASE("PyTorch weights: written and read back they give the reference's logits", "[golden]") {
  const test::TemporaryFolder folder;
  io::TensorFile file;
  for (const auto& [name, tensor] : state_dict(*filled(variant_options("unireplknet_a")))) {
    file.tensors.emplace_back(name, tensor);
  }
  io::write_torch(folder / "a.pth", file);
  check_logits_of(folder / "a.pth", "a");
}

TEST_CASE("PyTorch weights: saved by the reference in every layout they give its logits", "[golden]") {
  const auto python = test::python_with_torch();
  if (!python) return;
  const test::TemporaryFolder folder;
  REQUIRE(test::run_python(*python, folder, R"(
import argparse, pathlib, numpy, torch
from unireplk_ref import fill, unireplknet
model = fill(unireplknet('a'))
torch.save(model.state_dict(), 'flat.pth')
torch.save({'model': model.state_dict()}, 'model.pth')
torch.save({'model': model.state_dict()}, 'legacy.pth', _use_new_zipfile_serialization=False)
moments = {'step': torch.tensor(1.), 'exp_avg': torch.zeros(3), 'exp_avg_sq': torch.zeros(3)}
optimizer = {'state': {0: moments}, 'param_groups': [{'lr': numpy.float64(4e-3), 'betas': (0.9, 0.999), 'params': [0]}]}
other = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
torch.save({'model': other, 'optimizer': optimizer, 'epoch': 'best-ema', 'scaler': {},
            'args': argparse.Namespace(lr=numpy.float64(4e-3), out=pathlib.PosixPath('runs')),
            'model_ema': {'module.' + name: tensor for name, tensor in model.state_dict().items()}}, 'training.pth')
)"));
  for (const auto* name : {"flat.pth", "model.pth", "legacy.pth", "training.pth"}) {
    INFO(name);
    check_logits_of(folder / name, "a");
  }
}

}  // namespace unireplk::models
