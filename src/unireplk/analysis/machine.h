#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "unireplk/kernels/peak.h"
#include "unireplk/tensor/context.h"

/// What a measurement has to say of where it ran, and how much it scattered.
namespace unireplk::analysis {

std::string cpu_name();  ///< of the processor, as the system has it, or "unknown"

/// Processor, instruction set in use, threads, compiler, versions of the libraries below and every environment variable
/// that limits them.
nlohmann::json environment(const Context& context);

/// The most memory in MiB that this process has had: of the machine, or what it has taken of a GPU.
double peak_memory_mib(at::Device device);

/// MiB of the machine that Linux would give without swapping, as far as this container may have them; infinite where
/// the system does not tell.
double free_memory_mib();

// What all threads of LibTorch do at the same time, as they may share a core, its power or the way to memory.

/// Multiply-adds, in GFLOP/s (kernels/peak.h).
double measure_peak_of_threads();

/// Copies of floats in memory, in GB/s: what is read and as much that is written.
double measure_copies_of_threads();

/// The mean over the threads of what the loops of a depthwise convolution take (kernels/peak.h).
kernels::LoopTimes measure_loops_of_threads(const kernels::MapShape& map, const kernels::KernelShape& kernel);

/// The middle value, or the mean of the two in the middle; of at least one.
double median(std::vector<double> values);

/// The value below which a share of the values lies, between two of them in proportion; of at least one.
double quantile(std::vector<double> values, double share);

}  // namespace unireplk::analysis
