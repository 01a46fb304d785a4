#pragma once

/// Tolerances of numeric tests, each with its reason. Widening one needs an explanation.
namespace unireplk::test {

/// Outputs against goldens, relative to the largest magnitude. PyTorch's own float32 results lie 2e-6 to 7e-6 from the
/// float64 ones; float64 differs in summation order only.
inline constexpr double kOutputF32 = 1e-5;
inline constexpr double kOutputF64 = 1e-12;

/// Gradients against goldens: norms relative, elements in units of the tensor's norm. Float32 batch statistics of few
/// values amplify rounding; the goldens carry 12 digits.
inline constexpr double kGradientF32 = 1e-4;
inline constexpr double kGradientF64 = 1e-10;

/// Half a unit in the last place: what a golden lost that was rounded from float64 to float32.
inline constexpr double kRoundedToF32 = 6e-8;

/// Gradients that are zero in theory (model specification, section 10.1), in units of the global norm.
inline constexpr double kZeroGradient = 1e-6;

/// Gradients of which a norm leaves little but rounding, in units of the global norm: PyTorch's own float32 lies up to
/// 2.5e-6 from float64 here, and which way depends on the instruction set.
inline constexpr double kUndoneGradient = 4e-6;

/// Merged against unfused block, before layer scale, relative to the largest magnitude.
inline constexpr double kMergeF32 = 1e-5;
inline constexpr double kMergeF64 = 1e-9;

/// Merged weights in float64 against goldens of 12 digits.
inline constexpr double kMergedWeights = 1e-12;

/// Training steps against goldens. Adam divides by the gradient's own size, so float32 rounding grows from step to
/// step.
inline constexpr double kTraceF64 = 1e-8;
inline constexpr double kTraceF32 = 1e-4;     ///< first steps
inline constexpr double kTraceEndF32 = 1e-3;  ///< fifth step, and evaluation behind it

/// Depthwise convolutions in float32 against float64, root mean square. Up to 961 products are added one by one: a few
/// units of 6e-8; sums over maps are made in parts, but there are more of them and they cancel.
inline constexpr double kDepthwiseF32 = 6e-7;
inline constexpr double kDepthwiseWeightsF32 = 2e-6;

/// The fused block against the unfused graph in float64, root mean square: a convolution, statistics, a convolution.
inline constexpr double kFusedF32 = 2e-6;
inline constexpr double kFusedGradientF32 = 1e-5;

/// The block for CUDA devices, emulated, against float64, root mean square. Maps are rounded to their type, and so are
/// the merged kernel and, without second moments, gradients of branches, of which those of weights are sums. A mean of
/// x three deviations from zero doubles what float32 loses of maps.
inline constexpr double kEmulatedMapF32 = 6e-7;
inline constexpr double kEmulatedMapF16 = 6e-4;
inline constexpr double kEmulatedMapBF16 = 5e-3;
inline constexpr double kEmulatedParametersF32 = 8e-7;
inline constexpr double kEmulatedSecondMoments = 1e-6;

/// Passes over rows and the algebra between them, likewise: sums in float32 of some hundred terms; with GELU of maps in
/// 16 bits, which gelu.h fits to 1e-5; and products of linear maps that partly cancel, by way of gates.
inline constexpr double kEmulatedRowSums = 2e-6;
inline constexpr double kEmulatedGeluSums = 1e-5;
inline constexpr double kEmulatedGate = 1e-5;

/// The same in units of what a graph of parts loses by keeping branches in the map's type.
inline constexpr double kEmulatedAgainstParts = 1.5;

}  // namespace unireplk::test
