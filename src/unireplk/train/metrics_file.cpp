#include "unireplk/train/metrics_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "unireplk/core/log.h"
#include "unireplk/io/files.h"

namespace unireplk::train {
namespace {

using Json = nlohmann::ordered_json;

std::string line_of(const StepRecord& record) {
  Json line = {{"kind", "step"},  {"step", record.step}, {"epoch", record.epoch},
               {"lr", record.lr}, {"loss", record.loss}, {"grad_norm", record.grad_norm}};
  if (record.loss_scale) line["loss_scale"] = *record.loss_scale;
  for (const auto& [name, value] : record.parts) line[name] = value;
  return line.dump() + '\n';
}

std::string line_of(const char* kind, const ValidationRecord& record) {
  Json line = {{"kind", kind}, {"step", record.step}, {"epoch", record.epoch}};
  for (const auto& [weights, metrics] : record.results) {
    for (const auto& metric : metrics) line[weights][metric.name] = metric.value;
  }
  return line.dump() + '\n';
}

}  // namespace

MetricsFile::MetricsFile(std::filesystem::path path)
    : path_(std::move(path)), file_(open(path_.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644)) {
  if (file_ < 0) io::throw_system_error(path_, "open the file", errno);
}

MetricsFile::~MetricsFile() { close(file_); }

void MetricsFile::append(const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t count = write(file_, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) io::throw_system_error(path_, "write the file", errno);
    done += static_cast<size_t>(count);
  }
}

void MetricsFile::on_steps(std::span<const StepRecord> records) {
  std::string text;
  for (const auto& record : records) text += line_of(record);
  append(text);
}

void MetricsFile::on_validation(const ValidationRecord& record) { append(line_of("validation", record)); }

void MetricsFile::on_test(const ValidationRecord& record) { append(line_of("test", record)); }

void MetricsFile::save(StateWriter& writer) const {
  if (fsync(file_) != 0) io::throw_system_error(path_, "write the file", errno);
  writer.integer("bytes", static_cast<int64_t>(std::filesystem::file_size(path_)));
}

void MetricsFile::load(const StateReader& reader) {
  const int64_t bytes = reader.integer("bytes");
  const auto present = static_cast<int64_t>(std::filesystem::file_size(path_));
  if (present < bytes) {
    log_warning("{}: records of before the checkpoint are missing; the curves will have a gap", path_.string());
  } else {
    cut_back(bytes);
  }
}

void MetricsFile::cut_back(int64_t bytes) {
  if (ftruncate(file_, bytes) != 0) io::throw_system_error(path_, "cut the file back", errno);
}

}  // namespace unireplk::train
