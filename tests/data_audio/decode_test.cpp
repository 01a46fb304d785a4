#include <limits>

#include "data_audio/sounds.h"
#include "support/catch.h"
#include "support/test_data.h"
#include "unireplk/data/audio/sound.h"
#include "unireplk/data/audio/wav_header.h"
#include "unireplk/formats/npy.h"

namespace unireplk::data::audio {
namespace {

using Catch::Matchers::Contains;
using test::bytes_of;
using test::little_endian;
using test::wav_file;

std::vector<float> samples_of(const std::string& file) {
  return decode(bytes_of(file), "x.wav").value_or_throw().samples;
}

void refused(const std::string& file, const std::string& words) {
  const auto sound = decode(bytes_of(file), "x.wav");
  REQUIRE(!sound);
  CHECK_THAT(sound.problem().text(), Contains("x.wav") && Contains(words));
}

TEST_CASE("decode: whole numbers are scaled by their bits") {
  const auto number = [](int64_t value, int bits) { return little_endian(static_cast<uint64_t>(value), bits / 8); };
  CHECK(samples_of(test::wav_of({0, 1, -32768, 32767})) == std::vector<float>{0, 1 / 32768.0F, -1, 32767 / 32768.0F});
  CHECK(samples_of(wav_file(std::string("\x80\x00\xff\x40", 4), {.bits = 8})) ==
        std::vector<float>{0, -1, 127 / 128.0F, -0.5F});
  CHECK(samples_of(wav_file(number(-8388608, 24) + number(1, 24), {.bits = 24})) ==
        std::vector<float>{-1, 1 / 8388608.0F});
  CHECK(samples_of(wav_file(number(-2147483648, 32) + number(1 << 30, 32), {.bits = 32})) ==
        std::vector<float>{-1, 0.5F});
}

std::string float_bytes(float value) {
  std::string bytes(4, '\0');
  std::memcpy(bytes.data(), &value, 4);
  return bytes;
}

TEST_CASE("decode: floating samples stay as they are, beyond 1 too") {
  const test::WavFormat format{.bits = 32, .is_float = true};
  CHECK(samples_of(wav_file(float_bytes(0.25F) + float_bytes(-3.5F), format)) == std::vector<float>{0.25F, -3.5F});
  refused(wav_file(float_bytes(0) + float_bytes(std::numeric_limits<float>::quiet_NaN()), format),
          "sample 1 is no finite number");
}

TEST_CASE("decode: channels lie one behind the other") {
  std::string bytes;
  for (const int value : {1, 10, 2, 20, 3, 30}) bytes += little_endian(static_cast<uint64_t>(value * 256), 2);
  const auto sound = decode(bytes_of(wav_file(bytes, {.rate = 8000, .channels = 2})), "x.wav").value_or_throw();
  CHECK((sound.rate == 8000 && sound.channels == 2 && sound.length() == 3));
  CHECK(std::vector<float>(sound.channel(1).begin(), sound.channel(1).end()) ==
        std::vector<float>{10 / 128.0F, 20 / 128.0F, 30 / 128.0F});
}

TEST_CASE("decode: what is no sound, empty or cut short is told with its place") {
  refused("", "an empty file");
  refused("just a text", "expected a sound file");
  refused(test::wav_of({}), "no sample");
  const std::string whole = test::tone(440, 1000);
  refused(whole.substr(0, whole.size() - 600), "600 bytes more");
  refused(whole.substr(0, 20), "x.wav");
  CHECK(missing_wav_bytes(bytes_of(whole)) == 0);
}

TEST_CASE("decode: a WAV file whose length was left open is taken as long as it is") {
  std::string piped = test::tone(440, 1000);
  piped.replace(40, 4, little_endian(0xffffffff, 4));
  CHECK(samples_of(piped).size() == 1000);
}

TEST_CASE("decode: a file that is cut short is no FLAC file any more") {
  const auto file = test::content("examples/data/digits/train/0/0_george_10.flac");
  CHECK(samples_of(file).size() > 1000);
  const auto half = decode(bytes_of(file.substr(0, file.size() / 2)), "x.flac");
  REQUIRE(!half);
  CHECK_THAT(half.problem().text(), Contains("x.flac"));
}

TEST_CASE("decode: the test data's samples, to the bit") {
  const auto folder = test::test_data("audio/librispeech_decode");
  if (!folder) return;
  for (const std::string name : {"wav/237-134500-0001.wav", "wav/237-134500-0005.wav", "flac/237-134500-0001.flac",
                                 "flac/237-134500-0005.flac"}) {
    CAPTURE(name);
    const auto found = samples_of(test::content(*folder / name));
    const auto npy = bytes_of(test::content((*folder / name).replace_extension(".npy")));
    const auto array = formats::parse_npy(npy, name).value_or_throw();
    std::vector<int16_t> expected(found.size());
    REQUIRE(array.bytes.size() == 2 * expected.size());
    std::memcpy(expected.data(), array.bytes.data(), array.bytes.size());
    for (size_t i = 0; i < found.size(); ++i) REQUIRE(found[i] == static_cast<float>(expected[i]) / 32768);
  }
}

}  // namespace
}  // namespace unireplk::data::audio
