// Makes the allocations of one shared library fail: preloaded, it takes the place of C++'s operator new.
//
// arm(n): from now on in this thread, the n-th allocation (from 0) by code in _native fails; disarm(): none does, and how many
// such allocations there were.
#include <link.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

thread_local bool armed = false;
thread_local long left = 0, seen = 0;

// Where the code of _native is. It is looked up once: asking `dladdr` for every caller takes most of a run's time.
std::uintptr_t begin = 0, end = 0;

int find(dl_phdr_info* library, std::size_t, void*) {
    if (!std::strstr(library->dlpi_name, "_native")) return 0;
    for (int k = 0; k < library->dlpi_phnum; ++k) {
        const ElfW(Phdr)& part = library->dlpi_phdr[k];
        if (part.p_type != PT_LOAD || !(part.p_flags & PF_X)) continue;
        begin = library->dlpi_addr + part.p_vaddr, end = begin + part.p_memsz;
    }
    return 1;
}

bool fails(void* caller) {
    const auto at = reinterpret_cast<std::uintptr_t>(caller);
    if (!armed || at < begin || at >= end) return false;
    ++seen;
    return left-- == 0;
}

void* allocated(std::size_t size, std::size_t alignment, void* caller) {
    if (fails(caller)) return nullptr;
    void* found = nullptr;
    if (alignment <= alignof(std::max_align_t)) return std::malloc(size ? size : 1);
    return posix_memalign(&found, alignment, size ? size : 1) == 0 ? found : nullptr;
}

void* or_throw(void* found) {
    if (!found) throw std::bad_alloc();
    return found;
}

}  // namespace

void* operator new(std::size_t size) { return or_throw(allocated(size, 0, __builtin_return_address(0))); }
void* operator new[](std::size_t size) { return or_throw(allocated(size, 0, __builtin_return_address(0))); }
void* operator new(std::size_t size, std::align_val_t at) {
    return or_throw(allocated(size, static_cast<std::size_t>(at), __builtin_return_address(0)));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocated(size, 0, __builtin_return_address(0)); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocated(size, 0, __builtin_return_address(0)); }
void operator delete(void* address) noexcept { std::free(address); }
void operator delete[](void* address) noexcept { std::free(address); }
void operator delete(void* address, std::size_t) noexcept { std::free(address); }
void operator delete[](void* address, std::size_t) noexcept { std::free(address); }
void operator delete(void* address, std::align_val_t) noexcept { std::free(address); }
void operator delete(void* address, std::size_t, std::align_val_t) noexcept { std::free(address); }

extern "C" void arm(long n) {
    if (!end) dl_iterate_phdr(find, nullptr);
    left = n, seen = 0, armed = true;
}
extern "C" long disarm() { return armed = false, seen; }
