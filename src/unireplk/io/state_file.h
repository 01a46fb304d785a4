#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>

#include "unireplk/io/tensor_file.h"
#include "unireplk/tensor/state.h"

namespace unireplk::io {

/// Collects state in memory: tensors (detached copies on the CPU) apart from scalars, which become JSON.
class StateBuffer : public StateWriter, public StateReader {
 public:
  /// \throws ContractError when a key was written before, or a text is not UTF-8.
  void tensor(const std::string& key, const at::Tensor& value) override;
  void number(const std::string& key, double value) override;
  void integer(const std::string& key, int64_t value) override;
  void text(const std::string& key, const std::string& value) override;

  bool has(const std::string& key) const override;
  at::Tensor tensor(const std::string& key) const override;
  double number(const std::string& key) const override;
  int64_t integer(const std::string& key) const override;
  std::string text(const std::string& key) const override;

  /// Hand everything on to another writer.
  void write_to(StateWriter& writer) const;

  bool has_tensors() const { return !tensors_.tensors.empty(); }
  const TensorFile& tensors() const { return tensors_; }
  std::string scalars_json() const;  ///< numbers in a form that reads back to the same bits

  /// \param place named in messages. \throws UserError on malformed JSON.
  static StateBuffer from(TensorFile tensors, const std::string& scalars_json, const std::string& place);

 private:
  using Scalar = std::variant<double, int64_t, std::string>;

  void add_scalar(const std::string& key, Scalar value);
  template <class T>
  const T& scalar(const std::string& key, const char* expected) const;
  [[noreturn]] void refuse(const std::string& key, const std::string& message) const;

  TensorFile tensors_;
  std::map<std::string, size_t> tensor_index_;  ///< into tensors_.tensors
  std::map<std::string, Scalar> scalars_;
  std::string place_ = "state";
};

}  // namespace unireplk::io
