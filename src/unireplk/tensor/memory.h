#pragma once

namespace unireplk {

/// Ask the system for huge pages under LibTorch's CPU memory. Maps of a network are tens of megabytes, and with pages
/// of 4 KiB a good part of every pass over them is looking up where pages are. It is advice: a system that has none to
/// give goes on with small ones. To be called once, before the first tensor is made, by programs that
/// keep_freed_memory(): what is given back and taken anew would be advised anew.
void use_huge_pages();

}  // namespace unireplk
