#pragma once

#include "unireplk/kernels/depthwise.h"

/// The judge of the fast kernels: the same functions as plain loops over all taps, for float and double.
namespace unireplk::kernels::scalar {

template <class Number>
void depthwise_forward(const MapShape& map, const KernelShape& kernel, const Number* x, const Number* weight,
                       const Number* bias, Number* y);

template <class Number>
void depthwise_backward_data(const MapShape& map, const KernelShape& kernel, const Number* dy, const Number* weight,
                             Number* dx);

template <class Number>
void depthwise_backward_weights(const MapShape& map, const KernelShape& kernel, const Number* x, const Number* dy,
                                Number* dweight, Number* dbias);

}  // namespace unireplk::kernels::scalar
