#include <cmath>
#include <filesystem>
#include <numbers>
#include <string>
#include <vector>

#include "support/catch.h"
#include "support/files.h"
#include "support/process.h"
#include "support/temporary_folder.h"

namespace unireplk::test {
namespace {

namespace fs = std::filesystem;

std::string bytes_of(uint32_t value, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text.push_back(static_cast<char>(value >> (8 * i)));
  return text;
}

/// Half a second of a tone, 16 kHz, 16 bits.
std::string tone(int number) {
  std::string samples;
  for (int i = 0; i < 8000; ++i) {
    const double angle = 2 * std::numbers::pi * (200.0 + 50 * number) * i / 16000;
    samples += bytes_of(static_cast<uint32_t>(static_cast<int>(8000 * std::sin(angle))), 2);
  }
  return "RIFF" + bytes_of(static_cast<uint32_t>(36 + samples.size()), 4) + "WAVEfmt " + bytes_of(16, 4) +
         bytes_of(1, 2) + bytes_of(1, 2) + bytes_of(16000, 4) + bytes_of(32000, 4) + bytes_of(2, 2) + bytes_of(16, 2) +
         "data" + bytes_of(static_cast<uint32_t>(samples.size()), 4) + samples;
}

/// Where the published data sets would lie, with a few tones in each; commands run in it.
class AudioDesk {
 public:
  AudioDesk() {
    fs::create_directory_symlink(fs::absolute("configs"), folder_ / "configs");
    write_words();
    write_esc50();
    write_audioset();
  }

  /// Two steps of a small network on short spectrograms.
  void train(const std::string& config, const std::string& more = "") const {
    INFO(config);
    const std::string shell = "cd '" + folder_.path().string() + "' && '" + unireplk_path() + "' train configs/audio/" +
                              config + ".yaml train.max_steps=2 device=cpu model.backbone.name=unireplknet_a " +
                              "data.pipeline.target_length=32 data.pipeline.timem=8 data.loader.batch_size=4 " +
                              "data.loader.workers=1 " + more;
    const auto finished = run({"/bin/sh", "-c", shell});
    INFO(finished.err);
    CHECK(finished.exit_code == 0);
  }

 private:
  void write_words() const {
    for (const char* word :
         {"backward", "follow", "five", "bed",    "zero",    "on",  "learn",  "two",    "house", "tree", "dog", "stop",
          "seven",    "eight",  "down", "six",    "forward", "cat", "right",  "visual", "four",  "wow",  "no",  "nine",
          "off",      "three",  "left", "marvin", "yes",     "up",  "sheila", "happy",  "bird",  "go",   "one"}) {
      const fs::path words = folder_ / "data/speech_commands_v0.02" / word;
      write_file(words / "00176480_nohash_0.wav", tone(word[0] % 16));  // one speaker of each part
      write_file(words / "speakerA_nohash_0.wav", tone(word[1] % 16));
      write_file(words / "s3_nohash_0.wav", tone(word[1] % 8));
    }
    const fs::path root = folder_ / "data/speech_commands_v0.02";
    write_file(root / "validation_list.txt", "go/s3_nohash_0.wav\n");
    write_file(root / "testing_list.txt", "one/s3_nohash_0.wav\n");
  }

  void write_esc50() const {
    const fs::path root = folder_ / "data/ESC-50-master";
    std::string table = "filename,fold,target,category,esc10,src_file,take\n";
    for (int i = 0; i < 12; ++i) {
      const std::string name = std::to_string(i) + ".wav", target = std::to_string(i % 3);
      write_file(root / "audio" / name, tone(i));
      table += name + "," + std::to_string(i % 2 + 1) + "," + target + ",sound " + target + ",False,1,A\n";
    }
    write_file(root / "meta/esc50.csv", table);
  }

  void write_audioset() const {
    const fs::path root = folder_ / "data/audioset";
    write_file(root / "class_labels_indices.csv", "index,mid,display_name\n0,/m/a,\"low\"\n1,/m/b,\"high, or so\"\n");
    for (const std::string split : {"balanced_train", "unbalanced_train", "eval"}) {
      std::string list = "# YTID, start_seconds, end_seconds, positive_labels\n";
      for (int i = 0; i < 8; ++i) {
        const std::string id = "-" + std::to_string(i);
        write_file(root / split / (id + "_0.000.flac"), tone(i));  // told apart by content
        list += id + ", 0.000, 10.000, \"" + (i % 3 == 0 ? "/m/a,/m/b" : i % 2 == 0 ? "/m/a" : "/m/b") + "\"\n";
      }
      write_file(root / (split + "_segments.csv"), list);
    }
  }

  TemporaryFolder folder_;
};

}  // namespace

TEST_CASE("audio: the published trainings begin", "[slow]") {
  const AudioDesk desk;
  const std::string from_scratch =  // and what a run of two steps has no room for
      "init=null train.schedule.warmup_steps=2 train.schedule.warmup_every=1 train.weight_average=null";
  desk.train("speech_commands_s");
  desk.train("audioset_full_s", from_scratch);
  desk.train("audioset_balanced_s", from_scratch);
  desk.train("audioset_full_psla_s", from_scratch);
  desk.train("audioset_balanced_psla_s", from_scratch);
  desk.train("esc50_from_audioset_s");
  desk.train("esc50_from_imagenet_s", "init=null");
}

}  // namespace unireplk::test
