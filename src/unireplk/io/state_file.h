#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "unireplk/io/tensor_file.h"
#include "unireplk/tensor/state.h"

namespace unireplk::io {

/// Collects state in memory: tensors (detached copies on the CPU) apart from scalars, which become JSON.
class StateBuffer : public StateWriter, public StateReader {
 public:
  void tensor(const std::string& key, const at::Tensor& value) override;
  void number(const std::string& key, double value) override;
  void integer(const std::string& key, int64_t value) override;
  void text(const std::string& key, const std::string& value) override;

  bool has(const std::string& key) const override;
  at::Tensor tensor(const std::string& key) const override;
  double number(const std::string& key) const override;
  int64_t integer(const std::string& key) const override;
  std::string text(const std::string& key) const override;

  bool has_tensors() const { return !tensors_.tensors.empty(); }
  const TensorFile& tensors() const { return tensors_; }
  std::string scalars_json() const;  ///< numbers in a form that reads back to the same bits

  /// \param place named in messages. \throws UserError on malformed JSON.
  static StateBuffer from(TensorFile tensors, const std::string& scalars_json, const std::string& place);

 private:
  struct Scalar;
  TensorFile tensors_;
  std::map<std::string, std::shared_ptr<const Scalar>> scalars_;
};

}  // namespace unireplk::io
