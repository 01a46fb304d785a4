#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace unireplk {

/// Receives what a Stateful thing keeps. Keys are unique within one writer.
class StateWriter {
 public:
  virtual ~StateWriter() = default;
  virtual void tensor(const std::string& key, const at::Tensor& value) = 0;
  virtual void number(const std::string& key, double value) = 0;
  virtual void integer(const std::string& key, int64_t value) = 0;
  virtual void text(const std::string& key, const std::string& value) = 0;
};

/// Gives back what was written. \throws UserError when a key is missing or has another type.
class StateReader {
 public:
  virtual ~StateReader() = default;
  virtual bool has(const std::string& key) const = 0;
  virtual at::Tensor tensor(const std::string& key) const = 0;
  virtual double number(const std::string& key) const = 0;
  virtual int64_t integer(const std::string& key) const = 0;
  virtual std::string text(const std::string& key) const = 0;
};

/// A mutable thing of a run. Everything that changes while training is one, so a checkpoint cannot forget it.
class Stateful {
 public:
  virtual ~Stateful() = default;
  virtual void save(StateWriter& writer) const = 0;
  virtual void load(const StateReader& reader) = 0;
};

}  // namespace unireplk
