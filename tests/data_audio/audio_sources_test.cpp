#include <ATen/core/Tensor.h>

#include "data_audio/sounds.h"
#include "support/captured_log.h"
#include "support/catch.h"
#include "unireplk/config/parse.h"
#include "unireplk/data/audio/audio_folder.h"
#include "unireplk/data/audio/audio_manifest.h"
#include "unireplk/data/audio/audioset.h"
#include "unireplk/data/audio/class_index.h"
#include "unireplk/data/audio/esc50.h"
#include "unireplk/data/audio/speech_commands.h"

namespace unireplk::data::audio {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using test::write_file;

/// "file: label", "file: label,label", below `root`.
std::vector<std::string> items_of(const Source& source, const fs::path& root) {
  std::vector<std::string> items;
  for (int64_t i = 0; i < source.size(); ++i) {
    const auto labels = source.labels(i);
    items.push_back(
        format("{}: {}", fs::path(source.where(i).file).lexically_relative(root).string(), fmt::join(labels, ",")));
  }
  return items;
}

using Items = std::vector<std::string>;

TEST_CASE("audio_folder: sounds of each class, other files left out") {
  const test::TemporaryFolder folder;
  for (const char* name : {"b/2.wav", "b/1.FLAC", "a/x.ogg", "a/readme.txt"}) write_file(folder.path() / name, "x");
  const auto source = make_audio_folder({.root = folder.path()});
  CHECK(items_of(*source, folder.path()) == Items{"a/x.ogg: 0", "b/1.FLAC: 1", "b/2.wav: 1"});
  write_file(folder.path() / "c/readme.txt", "x");
  CHECK_THROWS_WITH(make_audio_folder({.root = folder.path()}), Contains("expected at least one sound (.wav"));
}

constexpr const char* kClasses = "index,mid,display_name\n0,/m/a,\"Speech\"\n1,/m/b,\"Male speech, man speaking\"\n";

struct Lists {
  Lists() { write_file(folder.path() / "classes.csv", kClasses); }
  fs::path file(const std::string& name, const std::string& content) const {
    write_file(folder.path() / name, content);
    return folder.path() / name;
  }
  test::TemporaryFolder folder;
};

TEST_CASE("class index: names with commas, and what is wrong with a list") {
  const Lists lists;
  const auto classes = read_class_index(lists.folder.path() / "classes.csv");
  CHECK(classes.names == Items{"Speech", "Male speech, man speaking"});
  CHECK(classes.labels_of("/m/b,/m/a", "here").value() == std::vector<int64_t>{1, 0});
  CHECK_THAT(classes.labels_of("/m/c", "here").problem().text(), Contains("here") && Contains("\"/m/c\""));
  const auto refused = [&](const std::string& rows, const std::string& words) {
    CHECK_THROWS_WITH(read_class_index(lists.file("bad.csv", "index,mid,display_name\n" + rows)), Contains(words));
  };
  refused("1,/m/a,Speech\n", "bad.csv:2: expected the index 0");
  refused("0,/m/a,Speech\n1,/m/a,Song\n", "bad.csv:3: the class \"/m/a\" comes twice");
  refused("0,/m/a,Speech\n1,/m/b,Speech\n", "\"Speech\" comes twice");
  refused("", "a row for each class");
}

TEST_CASE("audio_manifest: any number of classes, or one") {
  const Lists lists;
  const auto file = lists.file(
      "data.json",
      R"({"data": [{"wav": "1.wav", "labels": "/m/a,/m/b", "more": 3}, {"wav": "2.wav", "labels": "/m/b"}]})");
  AudioManifestConfig config{.file = file, .classes = lists.folder.path() / "classes.csv", .root = lists.folder.path()};
  const auto source = make_audio_manifest(config);
  CHECK(items_of(*source, lists.folder.path()) == Items{"1.wav: 0,1", "2.wav: 1"});
  write_file(lists.folder.path() / "1.wav", "x");
  const auto record = source->read(0).value_or_throw();
  CHECK(record.target.at("target").sum().item<double>() == 2);
  CHECK(source->info().find("target")->shape == std::vector<int64_t>{2});
  CHECK_FALSE(source->read(1).has_value());
  config.single_label = true;
  CHECK_THROWS_WITH(make_audio_manifest(config), Contains("data[0]: expected one label, got 2"));
  config.file = lists.file("one.json", R"({"data": [{"wav": "2.wav", "labels": "/m/b"}]})");
  CHECK(make_audio_manifest(config)->label(0) == 1);
}

TEST_CASE("audio_manifest: every bad entry is told with its place") {
  const Lists lists;
  const auto refused = [&](const std::string& text, const std::string& words) {
    const auto file = lists.file("bad.json", text);
    CHECK_THROWS_WITH(make_audio_manifest({.file = file, .classes = lists.folder.path() / "classes.csv"}),
                      Contains("bad.json") && Contains(words));
  };
  refused("# a comment\n{}", "");
  refused("{}", "a list \"data\"");
  refused(R"({"data": []})", "at least one entry");
  refused(R"({"data": [{"wav": 3, "labels": "/m/a"}, {"wav": "x"}]})", "data[1]");
  refused(R"({"data": [7]})", "data[0]");
  refused(R"({"data": [{"wav": "x", "labels": "/m/a,/m/q"}]})", "there is no class \"/m/q\"");
}

TEST_CASE("audioset: quoted labels, comments, and sounds that are not there") {
  const Lists lists;
  const test::CapturedLog log;
  const auto list = lists.file("balanced_train_segments.csv",
                               "# Segments csv created Sun Mar  5 10:54:31 2017\n"
                               "# num_ytids=3, num_segs=3, num_unique_labels=2, num_positive_labels=4\n"
                               "# YTID, start_seconds, end_seconds, positive_labels\n"
                               "--PJHxphWEs, 30.000, 40.000, \"/m/a,/m/b\"\n"
                               "_b, 0.000, 9.000, \"/m/b\"\n"
                               "gone, 1.000, 9.000, \"/m/b\"\n");
  AudioSetConfig config{
      .segments = {list}, .classes = lists.folder.path() / "classes.csv", .root = lists.folder.path()};
  lists.file("--PJHxphWEs_30.000.flac", "x");
  lists.file("_b_0.000.flac", "x");
  CHECK(items_of(*make_audioset(config), config.root) == Items{"--PJHxphWEs_30.000.flac: 0,1", "_b_0.000.flac: 1"});
  CHECK_THAT(log.text(), Contains("1 of 3 sounds are not there"));
  config.files = "{split}/Y{ytid}.wav";
  lists.file("balanced_train/Ygone.wav", "x");
  CHECK(items_of(*make_audioset(config), config.root) == Items{"balanced_train/Ygone.wav: 1"});
}

TEST_CASE("audioset: rows that cannot be understood are told") {
  const Lists lists;
  const auto refused = [&](const std::string& row, const std::string& words) {
    const auto list = lists.file("x_segments.csv", row);
    CHECK_THROWS_WITH(make_audioset({.segments = {list}, .classes = lists.folder.path() / "classes.csv"}),
                      Contains(words));
  };
  refused("a, 1.0, 2.0\n", "x_segments.csv:1: expected id");
  refused("a, one, 2.0, \"/m/a\"\n", "x_segments.csv:1");
  refused("a, 1.0, 2.0, \"/m/q\"\n", "no class \"/m/q\"");
  refused("a, 1.0, 2.0, \"/m/a\"\n", "none of the 1 sounds");
  const auto tree = config::load_text("{segments: [a.csv], classes: b.csv, files: x.wav}", "a.yaml");
  CHECK_THROWS_WITH(config::parse<AudioSetConfig>(tree, {}), Contains("{ytid}"));
}

struct Esc {
  explicit Esc(const std::string& rows) {
    write_file(folder.path() / "meta/esc50.csv", "filename,fold,target,category,esc10,src_file,take\n" + rows);
  }
  std::unique_ptr<Source> source(SplitPart part, bool esc10 = false) const {
    return make_esc50({.root = folder.path(), .fold = 2, .part = part, .esc10 = esc10});
  }
  test::TemporaryFolder folder;
};

TEST_CASE("esc50: folds, and the classes of ESC-10") {
  const Esc esc(
      "1-100032-A-0.wav,1,0,dog,True,100032,A\n2-1-A-3.wav,2,3,cow,False,1,A\n3-2-A-10.wav,3,10,rain,True,2,A\n"
      "2-3-A-10.wav,2,10,rain,True,3,A\n");
  CHECK(items_of(*esc.source(SplitPart::kTrain), esc.folder.path()) ==
        Items{"audio/1-100032-A-0.wav: 0", "audio/3-2-A-10.wav: 2"});
  CHECK(items_of(*esc.source(SplitPart::kValidation), esc.folder.path()) ==
        Items{"audio/2-1-A-3.wav: 1", "audio/2-3-A-10.wav: 2"});
  CHECK(esc.source(SplitPart::kTrain)->info().classes == Items{"dog", "cow", "rain"});
  CHECK(esc.source(SplitPart::kTrain, true)->info().classes == Items{"dog", "rain"});
  CHECK(items_of(*esc.source(SplitPart::kValidation, true), esc.folder.path()) == Items{"audio/2-3-A-10.wav: 1"});
}

TEST_CASE("esc50: what is wrong with the table is told") {
  CHECK_THROWS_WITH(Esc("a.wav,one,0,dog,True,1,A\n").source(SplitPart::kTrain), Contains("esc50.csv:2"));
  CHECK_THROWS_WITH(Esc("a.wav,1,0,dog,True,1,A\nb.wav,1,0,cat,True,1,A\n").source(SplitPart::kTrain),
                    Contains("esc50.csv:3") && Contains("\"cat\" here and \"dog\" above"));
  CHECK_THROWS_WITH(Esc("a.wav,1,0,dog,True,1,A\n").source(SplitPart::kValidation), Contains("no clip"));
}

TEST_CASE("speech_commands: the split by speakers") {
  CHECK(percent_of_speaker("00176480_nohash_0.wav") == Approx(69.798155).margin(1e-6));
  CHECK(percent_of_speaker("004ae714_nohash_1.wav") == Approx(79.574893).margin(1e-6));
  CHECK(percent_of_speaker("speakerA") == Approx(0.515338).margin(1e-6));
}

/// Every word with three sounds: of a speaker of each part.
struct Words {
  Words() {
    auto words = make_list();
    for (const auto& word : words) {
      for (const char* speaker : {"00176480", "speakerA", "s8"}) {
        write_file(folder.path() / word / (std::string(speaker) + "_nohash_0.wav"), "x");
      }
      write_file(folder.path() / word / "notes.txt", "x");
    }
    write_file(folder.path() / "_background_noise_/hum.wav", "x");
  }
  static Items make_list() {
    return {"backward", "follow", "five", "bed",    "zero",  "on",   "learn", "two",     "house",
            "tree",     "dog",    "stop", "seven",  "eight", "down", "six",   "forward", "cat",
            "right",    "visual", "four", "wow",    "no",    "nine", "off",   "three",   "left",
            "marvin",   "yes",    "up",   "sheila", "happy", "bird", "go",    "one"};
  }
  std::unique_ptr<Source> part(SplitPart which) const {
    return make_speech_commands({.root = folder.path(), .part = which});
  }
  test::TemporaryFolder folder;
};

TEST_CASE("speech_commands: words in the published order, split by name or by lists") {
  const Words words;
  const double percent = percent_of_speaker("s8_nohash_0.wav");
  CAPTURE(percent);
  const auto train = words.part(SplitPart::kTrain), validation = words.part(SplitPart::kValidation);
  CHECK(train->info().classes == Words::make_list());
  CHECK(items_of(*validation, words.folder.path())[1] == "follow/speakerA_nohash_0.wav: 1");
  CHECK(train->size() + validation->size() + (percent >= 10 && percent < 20 ? 35 : 0) == 105);
  write_file(words.folder.path() / "validation_list.txt", "bird/s8_nohash_0.wav\n");
  CHECK_THROWS_WITH(words.part(SplitPart::kTrain), Contains("testing_list.txt") && Contains("both lists"));
  write_file(words.folder.path() / "testing_list.txt", "go/s8_nohash_0.wav\none/s8_nohash_0.wav\n");
  CHECK(items_of(*words.part(SplitPart::kValidation), words.folder.path()) == Items{"bird/s8_nohash_0.wav: 32"});
  CHECK(words.part(SplitPart::kTest)->size() == 2);
  CHECK(words.part(SplitPart::kTrain)->size() == 102);
  write_file(words.folder.path() / "testing_list.txt", "go/s8_nohash_0.wav\none/gone.wav\n");
  CHECK_THROWS_WITH(words.part(SplitPart::kTest), Contains("testing_list.txt:2") && Contains("one/gone.wav"));
  fs::remove_all(words.folder.path() / "bird");
  CHECK_THROWS_WITH(words.part(SplitPart::kTest), Contains("bird") && Contains("the folder of a word"));
}

}  // namespace
}  // namespace unireplk::data::audio
