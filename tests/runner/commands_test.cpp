#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runner/runs.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/process.h"
#include "support/temporary_folder.h"

namespace unireplk::test {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using nlohmann::json;

constexpr const char* kBoot = "examples/data/fashion/ankle_boot.png";

/// The one line of JSON that a command printed.
json line_of(const std::vector<std::string>& arguments) {
  const auto finished = unireplk(arguments);
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  REQUIRE(std::count(finished.out.begin(), finished.out.end(), '\n') == 1);
  return json::parse(finished.out);
}

/// A run of the tiny network, a few steps long.
fs::path trained(const TemporaryFolder& folder) {
  const auto line = line_of({"train", kTiny, "--json", "train.max_steps=30", "output=" + folder.path().string()});
  CHECK(line["finished"] == true);
  CHECK(line["step"] == 30);
  CHECK(line["percent_waited_for_data"] >= 0);
  CHECK(line["percent_waited_for_data"] <= 100);
  CHECK(line["best"] > 30);  // percent; ten classes
  return folder / "tiny";
}

}  // namespace

TEST_CASE("main job: train, evaluate, export, evaluate the deploy file, predict from it alone", "[numeric]") {
  const TemporaryFolder folder;
  const auto run = trained(folder);
  const auto deploy = (folder / "deploy.safetensors").string();

  const auto evaluated = line_of({"eval", run.string(), "--json"});
  CHECK(evaluated["samples"] == 900);
  CHECK_THAT(evaluated["weights"].get<std::string>(), Contains("ema.safetensors"));

  const auto exported = line_of({"export", run.string(), "--output", deploy, "--json", "device=cuda"});  // none here
  CHECK(exported["blocks"] == 4);
  CHECK(exported["worst_f64"] < 1e-9);
  CHECK(exported["worst_f32"] < 1e-5);

  const auto deployed = line_of({"eval", deploy, "--json", "data.validation.name=idx",
                                 "data.validation.images=examples/data/fashion/validation-images-idx3-ubyte.gz",
                                 "data.validation.labels=examples/data/fashion/validation-labels-idx1-ubyte.gz",
                                 "data.validation.classes=examples/data/fashion/classes.txt"});
  CHECK(deployed["top1"].get<double>() == Approx(evaluated["top1"].get<double>()).margin(0.2));
  CHECK(deployed["loss"].get<double>() == Approx(evaluated["loss"].get<double>()).epsilon(1e-3));

  fs::remove_all(run);  // the deploy file needs nothing else
  const auto predicted = line_of({"predict", deploy, kBoot, "--json"});
  CHECK(predicted["file"] == kBoot);
  CHECK(predicted["classes"].size() == 5);
  const auto text = content(deploy);
  CHECK(text.find(folder.path().string()) == std::string::npos);
  CHECK(text.find("examples/data") == std::string::npos);
}

TEST_CASE("eval: train and deploy form of a checkpoint agree", "[numeric]") {
  const TemporaryFolder folder;
  const auto run = trained(folder).string();
  for (const char* weights : {"ema", "model"}) {
    const auto train_form = line_of({"eval", run, "--json", "--weights", weights});
    const auto deploy_form = line_of({"eval", run, "--json", "--weights", weights, "--form", "deploy"});
    CHECK(deploy_form["loss"].get<double>() == Approx(train_form["loss"].get<double>()).epsilon(1e-5));
  }
}

TEST_CASE("export: without the validation data the proof takes random input", "[numeric]") {
  const TemporaryFolder folder;
  const auto run = trained(folder);
  const auto with = (folder / "with.safetensors").string(), without = (folder / "without.safetensors").string();
  CHECK(line_of({"export", run.string(), "--output", with, "--json"})["compared_on"] == "4 samples of data.validation");
  const std::vector<std::string> gone{"export", run.string(), "--output", without, "data.validation.images=no/such"};
  const auto exported = unireplk(gone);
  CHECK(exported.exit_code == 0);
  CHECK_THAT(exported.err, Contains("no validation data (no/such: ") && Contains("): the proof takes random input"));
  CHECK_THAT(exported.out, Contains("from the branches they came from, on random input:"));
  CHECK(unireplk({"predict", without, kBoot}).out == unireplk({"predict", with, kBoot}).out);

  const auto kept = run / "data.safetensors";
  auto bytes = content(kept);
  bytes.replace(bytes.find("uint8"), 5, "uint7");
  write_file(kept, bytes);
  const auto damaged = unireplk(gone);
  CHECK(damaged.exit_code == 2);
  CHECK_THAT(damaged.err, Contains("data.safetensors: data: fields[") && Contains("dtype: expected one of uint8, ") &&
                              Contains("got \"uint7\""));
  fs::remove(kept);  // as in runs from before it was kept
  const auto older = unireplk(gone);
  CHECK(older.exit_code == 2);
  CHECK_THAT(older.err, Contains("no/such"));
}

TEST_CASE("predict: a file that is no image is named, and the others are still told") {
  const TemporaryFolder folder;
  const auto run = trained(folder);
  const auto deploy = (folder / "deploy.safetensors").string();
  REQUIRE(unireplk({"export", run.string(), "--output", deploy}).exit_code == 0);
  const auto bad = folder / "bad.jpg";
  write_file(bad, "this is text");
  const auto finished = unireplk({"predict", deploy, bad.string(), kBoot});
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err, Contains("bad.jpg"));
  CHECK_THAT(finished.out, Contains("ankle_boot.png"));
  const auto missing = unireplk({"predict", deploy, (folder / "no.png").string()});
  CHECK(missing.exit_code == 2);
  CHECK_THAT(missing.err, Contains("no.png"));
}

TEST_CASE("predict: a photo that does not fit is named, and those behind it are still told") {
  const TemporaryFolder folder;
  const auto run = trained(folder);
  const auto deploy = (folder / "deploy.safetensors").string();
  REQUIRE(unireplk({"export", run.string(), "--output", deploy}).exit_code == 0);
  const auto large = fs::directory_iterator("examples/data/clothing/validation/hat")->path().string();
  const auto finished = unireplk({"predict", deploy, kBoot, large, kBoot});
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err, Contains("expected 28 x 28 pixels") && Contains(large));
  const auto first = finished.out.find(kBoot);
  CHECK(finished.out.find(kBoot, first + 1) != std::string::npos);
}

TEST_CASE("predict: what a diverged network says is no prediction") {
  const TemporaryFolder folder;
  const auto run = trained(folder);
  const auto deploy = folder / "deploy.safetensors";
  REQUIRE(unireplk({"export", run.string(), "--output", deploy.string()}).exit_code == 0);
  auto bytes = content(deploy);
  // A file from before there were checksums, whose last weights are no numbers.
  const auto key = bytes.find("\"crc32\"");
  REQUIRE(key != std::string::npos);
  bytes.replace(key, 7, "\"crc_2\"");
  for (size_t i = bytes.size() - 64; i < bytes.size(); ++i) bytes[i] = '\xff';
  write_file(deploy, bytes);
  for (const char* json : {"--json", "--top=1"}) {
    const auto finished = unireplk({"predict", deploy.string(), kBoot, json});
    CHECK(finished.exit_code == 2);
    CHECK(finished.out.empty());
    CHECK_THAT(finished.err, Contains("ankle_boot.png: expected finite numbers from the network"));
  }
}

TEST_CASE("weights: a file that lies or is cut is refused in words") {
  const TemporaryFolder folder;
  const auto run = trained(folder);
  const auto deploy = folder / "deploy.safetensors";
  REQUIRE(unireplk({"export", run.string(), "--output", deploy.string()}).exit_code == 0);
  const auto good = content(deploy);
  const auto refused = [&](const std::string& bytes) {
    write_file(deploy, bytes);
    const auto finished = unireplk({"predict", deploy.string(), kBoot});
    CHECK(finished.exit_code == 2);
    CHECK_THAT(finished.err, Contains("deploy.safetensors"));
    CHECK(finished.out.empty());
  };
  refused("");
  refused(good.substr(0, 7));
  refused(good.substr(0, good.size() / 2));
  refused(std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8) + good.substr(8));
  const auto changed = [&](size_t place) {
    auto bytes = good;
    bytes[place] ^= 1;
    return bytes;
  };
  const size_t mean = good.find("mean\\\":[") + 10;  // a digit of a number of the pipeline
  REQUIRE(std::isdigit(static_cast<unsigned char>(good[mean])));
  refused(changed(mean));
  refused(changed(good.size() - 1));
  const auto model =
      unireplk({"predict", (run / "checkpoints" / "step_000000030" / "model.safetensors").string(), kBoot});
  CHECK(model.exit_code == 2);
  CHECK_THAT(model.err, Contains("unireplk export"));
}

TEST_CASE("eval and export: a checkpoint with one byte changed is refused") {
  const TemporaryFolder folder;
  const auto run = trained(folder);
  const auto weights = run / "checkpoints" / "step_000000030" / "ema.safetensors";
  auto bytes = content(weights);
  bytes.back() ^= 1;
  write_file(weights, bytes);
  for (const auto& arguments : {std::vector<std::string>{"eval", run.string()},
                                {"export", run.string(), "--output", (folder / "d.safetensors").string()}}) {
    const auto finished = unireplk(arguments);
    CHECK(finished.exit_code == 2);
    CHECK_THAT(finished.err, Contains("ema.safetensors") && Contains("checksum"));
  }
  CHECK_FALSE(fs::exists(folder / "d.safetensors"));
}

TEST_CASE("eval: averages that a checkpoint has lost are missed, and not taken for none") {
  const TemporaryFolder folder;
  const auto run = trained(folder);
  fs::remove(run / "checkpoints/step_000000030/ema.safetensors");
  for (const auto& arguments :
       {std::vector<std::string>{"eval", run.string()}, {"eval", run.string(), "--weights=ema"}}) {
    const auto finished = unireplk(arguments);
    CHECK(finished.exit_code == 2);
    CHECK_THAT(finished.err, Contains("ema.safetensors: cannot be read") && Contains("The checkpoint is damaged"));
  }
  CHECK(unireplk({"eval", run.string(), "--weights", "model"}).exit_code == 0);
  write_file(run / "checkpoints/step_000000030/state.json", "no state");
  const auto finished = unireplk({"eval", run.string()});
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err, Contains("state.json: not valid JSON") && Contains("The checkpoint is damaged"));
}

TEST_CASE("commands: what would have no effect is refused") {
  const TemporaryFolder folder;
  const auto run = trained(folder).string();
  const auto checkpoint = run + "/checkpoints/step_000000030";
  const auto deploy = (folder / "deploy.safetensors").string();
  REQUIRE(unireplk({"export", run, "--output", deploy}).exit_code == 0);
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& message) {
    const auto finished = unireplk(arguments);
    CHECK(finished.exit_code == 2);
    CHECK_THAT(finished.err, Contains(message));
    CHECK(finished.out.empty());
  };
  refused({"eval", checkpoint, "--checkpoint", "latest"}, "--checkpoint: expected nothing beside a checkpoint, got");
  refused({"export", checkpoint + "/", "--checkpoint", "best", "--output", (folder / "d.safetensors").string()},
          "--checkpoint: expected nothing beside a checkpoint, got");
  refused({"eval", deploy, "--checkpoint", "best"}, "--checkpoint: expected nothing beside a deploy file, got");
  refused({"eval", deploy, "--weights", "model"}, "--weights: expected nothing beside a deploy file, got");
  refused({"eval", deploy, "--form", "train"}, "--form: expected deploy");
  refused({"inspect", deploy, "data.loader.workers=3"}, "data.loader.workers=3: expected nothing beside a weight file");
  refused({"inspect", kTiny, "--count", "3"}, "--count requires --sample");
  const auto pictures = (folder / "pictures").string();
  for (const char* option : {"--size=64", "--batch=2", "--deploy"}) {
    refused({"inspect", kTiny, "--sample", pictures, option}, "excludes --sample");
  }
  CHECK_FALSE(fs::exists(pictures));
}

TEST_CASE("commands: files and folders of another kind are named as what they are") {
  const TemporaryFolder folder;
  const auto run = trained(folder).string();
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& message) {
    const auto finished = unireplk(arguments);
    CHECK(finished.exit_code == 2);
    CHECK_THAT(finished.err, Contains(message));
  };
  const auto other = folder.path().string();
  refused({"eval", other}, other + ": expected a run, a checkpoint or a weight file, got another folder. Pass the");
  refused({"inspect", other}, other + ": expected a run, a checkpoint or a weight file, got another folder. Pass the");
  refused({"predict", run, kBoot}, run + ": expected a deploy file, got a folder. Write one with `unireplk export");
  const auto torch = (folder / "w.pth").string();
  REQUIRE(unireplk({"convert", run + "/checkpoints/step_000000030/model.safetensors", "--output", torch}).exit_code ==
          0);
  refused({"predict", torch, kBoot}, torch + ": expected a deploy file, got a PyTorch file. Write one with `unireplk");
  refused({"eval", torch}, torch + ": expected a deploy file, got a PyTorch file. Write one with `unireplk export");
  refused({"train", run, "--resume"}, run + ": expected a YAML file, got a folder. A run's config is its config.yaml.");
  refused({"train", "no.yaml"}, "no.yaml: expected a YAML file, got nothing. Check the path.");
}

TEST_CASE("predict: a head with more classes than the data name") {
  const TemporaryFolder folder;
  const auto deploy = (folder / "deploy.safetensors").string();
  REQUIRE(
      unireplk({"train", kTiny, "train.max_steps=5", "model.head.num_classes=40", "output=" + folder.path().string()})
          .exit_code == 0);
  REQUIRE(unireplk({"export", (folder / "tiny").string(), "--output", deploy}).exit_code == 0);
  const auto line = line_of({"predict", deploy, kBoot, "--top", "40", "--json"});
  CHECK(line["classes"].size() == 40);
}

TEST_CASE("command line: what is not there is named, and the name of a run is one folder") {
  const auto missing = unireplk({"eval", "no/such/run"});
  CHECK(missing.exit_code == 2);
  CHECK_THAT(missing.err, Contains("no/such/run"));
  CHECK(unireplk({"eval", std::string(300, 'x')}).exit_code == 2);
  const auto outside = unireplk({"config", "check", kTiny, "name=../outside"});
  CHECK(outside.exit_code == 2);
  CHECK_THAT(outside.err, Contains("../outside"));
  const auto device = unireplk({"config", "check", kTiny, "device=gpu"});
  CHECK(device.exit_code == 2);
  CHECK_THAT(device.err, Contains("device: expected auto, cpu, cuda or cuda:N, got \"gpu\""));
}

TEST_CASE("train: folders that cannot be trained on are refused, and nothing is written") {
  const TemporaryFolder folder;
  const auto photos = folder / "photos";
  const auto train = [&](const fs::path& root) {
    return unireplk({"train", "configs/image/clothing_a.yaml", "data.train.root=" + root.string(),
                     "output=" + (folder / "runs").string(), "device=cpu"});
  };
  const auto missing = train(photos);
  CHECK(missing.exit_code == 2);
  CHECK_THAT(missing.err, Contains("photos"));
  fs::create_directories(photos / "empty_class");
  write_file(photos / "other" / "a.jpg", "no photo");
  const auto empty = train(photos);
  CHECK(empty.exit_code == 2);
  CHECK_THAT(empty.err, Contains("empty_class"));
  CHECK_FALSE(fs::exists(folder / "runs"));
}

TEST_CASE("train: photos that cannot be decoded are named and stop the run at their share") {
  const TemporaryFolder folder;
  const auto photos = folder / "photos";
  fs::copy("examples/data/clothing/train", photos, fs::copy_options::recursive);
  const auto victim = fs::directory_iterator(photos / "hat")->path();
  fs::resize_file(victim, fs::file_size(victim) / 2);
  const std::vector<std::string> arguments{"train",
                                           "configs/image/clothing_a.yaml",
                                           "data.train.root=" + photos.string(),
                                           "device=cpu",
                                           "data.pipeline.size=48",
                                           "train.max_steps=6",
                                           "train.schedule.warmup_epochs=0"};
  auto strict = arguments;
  strict.push_back("output=" + (folder / "strict").string());
  const auto refused = unireplk(strict);  // 1 of 80 is more than 1 percent
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, Contains("max_bad_fraction") && Contains(victim.filename().string()));
  auto lenient = arguments;
  lenient.push_back("output=" + (folder / "lenient").string());
  lenient.push_back("data.loader.max_bad_fraction=0.05");
  const auto trained_anyway = unireplk(lenient);
  CHECK(trained_anyway.exit_code == 0);
  CHECK_THAT(trained_anyway.err, Contains(victim.filename().string()));
}

TEST_CASE("train: a run that cannot be made is refused before anything is written, in a dry run too") {
  const TemporaryFolder folder;
  for (const char* mistake : {"train.max_steps=3", "train.accumulate_steps=1000"}) {
    for (const char* dry : {"--dry-run", "--resume"}) {
      INFO(mistake << ' ' << dry);
      CHECK(unireplk({"train", kTiny, mistake, dry, "output=" + folder.path().string()}).exit_code == 2);
    }
  }
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("train: the name of a class has to be text") {
  const TemporaryFolder folder;
  write_file(folder / "photos" / "caf\xE9" / "a.jpg", "no photo");
  const auto finished =
      unireplk({"train", "configs/image/clothing_a.yaml", "device=cpu",
                "data.train.root=" + (folder / "photos").string(), "output=" + (folder / "runs").string()});
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err, Contains("UTF-8"));
}

TEST_CASE("inspect: a run, a checkpoint and its weights are the same network") {
  const TemporaryFolder folder;
  const auto run = trained(folder);
  const auto checkpoint = run / "checkpoints" / "step_000000030";
  const auto of_run = line_of({"inspect", run.string(), "--json"});
  CHECK(line_of({"inspect", checkpoint.string(), "--json"}) == of_run);
  CHECK(line_of({"inspect", checkpoint.string() + "/", "--json"}) == of_run);
  CHECK(line_of({"inspect", (checkpoint / "model.safetensors").string(), "--json"})["parameters"] ==
        of_run["parameters"]);
}

TEST_CASE("commands: what looks at things says so in one line of JSON") {
  const auto doctor = line_of({"doctor", "--json"});
  CHECK(doctor["built_for_cuda"].is_boolean());
  CHECK(doctor["devices"].size() >= 1);
  CHECK((doctor["image_formats"] == json{"JPEG", "PNG"} || doctor["image_formats"].size() == 7));
  CHECK(unireplk({"doctor"}).exit_code == 0);
  const auto network = line_of({"inspect", "configs/image/fashion_a.yaml", "--json"});
  CHECK(network["network"] == "unireplknet_a");
  CHECK(network["input"] == json({1, 28, 28}));
  CHECK(line_of({"config", "check", kTiny, "--json"})["valid"] == true);
  CHECK(line_of({"config", "show", kTiny, "seed=7", "--json"})["seed"] == 7);
  for (const char* kind : {"models", "data", "transforms", "tasks"}) {
    INFO(kind);
    CHECK(unireplk({"list", kind}).exit_code == 0);
  }
  const auto schema = unireplk({"config", "schema"});
  CHECK(json::parse(schema.out).contains("$schema"));
}

TEST_CASE("config show: its output is a config that means the same") {
  const TemporaryFolder folder;
  const auto shown = unireplk({"config", "show", kTiny, "train.optimizer.lr=0.25"});
  REQUIRE(shown.exit_code == 0);
  CHECK_THAT(shown.out, Contains("lr: 0.25  # command line"));
  write_file(folder / "again.yaml", shown.out);
  const auto again = unireplk({"config", "show", (folder / "again.yaml").string()});
  const auto values = [](const std::string& text) {
    std::string result;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) result += line.substr(0, line.find("  # ")) + "\n";
    return result;
  };
  CHECK(values(again.out) == values(shown.out));
}

TEST_CASE("bench: one line with the median") {
  for (const char* what : {"train-step", "inference", "startup"}) {
    INFO(what);
    const std::vector<std::string> command{"bench",    what, "--variant", "a",  "--batch", "2",
                                           "--size",   "32", "--classes", "10", "--iters", "2",
                                           "--warmup", "0",  "--threads", "1",  "--json"};
    const auto line = line_of(command);
    CHECK(line["median_ms"] > 0);
    CHECK(line["samples_ms"].size() == 2);
    CHECK(line["p10_ms"] <= line["median_ms"]);
    CHECK(line["p90_ms"] >= line["median_ms"]);
    CHECK(line["environment"]["threads"] == 1);
    CHECK(line["environment"]["settings"].is_object());
    if (std::string_view(what) == "startup") continue;
    CHECK(line["cpu_ms"] > 0);
    CHECK(line["difference"] < 1e-2);
    CHECK(line_of(command)["difference"] == line["difference"]);
    CHECK(line["floor"]["ms"] > 0);
    CHECK(line["share_of_floor"] == line["floor"]["ms"].get<double>() / line["median_ms"].get<double>());
  }
}

TEST_CASE("bench: what rounding explains is no fault of the network") {
  const auto [precision, size, classes] = GENERATE(
      table<const char*, const char*, const char*>({{"bf16", "32", "1"}, {"bf16", "7", "1000"}, {"fp32", "7", "4"}}));
  CAPTURE(precision, size, classes);
  const auto line = line_of({"bench", "train-step", "--variant", "a", "--batch", "2", "--size", size, "--classes",
                             classes, "--precision", precision, "--iters", "1", "--warmup", "0", "--json"});
  CHECK(line["median_ms"] > 0);
  CHECK(line["difference"] > (precision == std::string_view("fp32") ? 1e-2 : 0.2));  // norms see two values
}

TEST_CASE("bench ops: maps that the block has no kernel for are refused") {
  const auto finished = unireplk({"bench", "ops", "--variant", "a", "--batch", "1", "--size", "32", "--iters", "1"});
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err,
             Contains("bench ops: expected maps that the block has a kernel for, got 4 x 4") && Contains("--size 193"));
}

TEST_CASE("bench branches: steps with and without dilated branches") {
  const auto line = line_of({"bench", "branches", "--variant", "a", "--batch", "2", "--size", "32", "--classes", "10",
                             "--iters", "2", "--warmup", "0", "--threads", "1", "--json"});
  CHECK(line["single_kernels"]["samples_ms"].size() == 2);
  CHECK(line["branches_over_single"] ==
        line["median_ms"].get<double>() / line["single_kernels"]["median_ms"].get<double>());
}

TEST_CASE("bench loader: stages of the training data, and libjpeg-turbo's pace") {
  const auto line = line_of({"bench", "loader", "configs/image/clothing_a.yaml", "data.pipeline.auto_augment=rand-m9",
                             "task.erasing={probability: 0.25}", "--batch", "3", "--iters", "2", "--warmup", "0"});
  CHECK(line["median_ms"] > 0);
  CHECK(line["samples_ms"].size() == 2);
  for (const char* stage : {"read", "decode", "random_resized_crop", "rand_augment", "tensor", "batch", "prepare"}) {
    INFO(stage);
    CHECK(line["stages"][stage] > 0);
  }
  CHECK(line["whole_decode"]["images_per_second"] > 0);
  CHECK(line["whole_decode"]["times_as_fast"] > 0);
  CHECK_FALSE(line_of({"bench", "loader", "configs/image/fashion_a.yaml", "--batch", "3", "--iters", "1"})
                  .contains("whole_decode"));
}

}  // namespace unireplk::test
