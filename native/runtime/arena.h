// Memory that the arrays of one step after another share.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace hiddenstate::runtime {

// Blocks are taken one after another, and are free again when the next use begins. What does not fit is allocated, and counts as needed.
class Arena {
public:
    // Provides as much memory as the last use needed.
    void grow() {
        memory_ = std::make_unique<unsigned char[]>(used_);
        size_ = used_;
    }

    // Makes the lists of this thread take their memory here, until it ends. Null changes nothing.
    class Use {
    public:
        explicit Use(Arena* arena) : before_(current) {
            if (arena) arena->used_ = 0, current = arena;
        }
        ~Use() { current = before_; }
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;

    private:
        Arena* const before_;
    };

    static void* take(std::size_t bytes) {
        if (!current) return ::operator new(bytes);
        const std::size_t begin = current->used_;
        current->used_ += (bytes + kAligned - 1) / kAligned * kAligned;
        return current->used_ <= current->size_ ? current->memory_.get() + begin : ::operator new(bytes);
    }

    static void give_back(void* block) {
        const auto* const at = static_cast<unsigned char*>(block);
        const bool is_ours = current && current->size_ > 0 && at >= current->memory_.get() && at < current->memory_.get() + current->size_;
        if (!is_ours) ::operator delete(block);
    }

private:
    static constexpr std::size_t kAligned = alignof(std::max_align_t);
    static inline thread_local Arena* current = nullptr;

    std::unique_ptr<unsigned char[]> memory_;
    std::size_t size_ = 0, used_ = 0;
};

template <class T>
struct FromArena {
    using value_type = T;

    FromArena() = default;
    template <class U>
    FromArena(const FromArena<U>&) {}

    T* allocate(std::size_t count) { return static_cast<T*>(Arena::take(count * sizeof(T))); }
    void deallocate(T* block, std::size_t) { Arena::give_back(block); }

    template <class U>
    bool operator==(const FromArena<U>&) const { return true; }
    template <class U>
    bool operator!=(const FromArena<U>&) const { return false; }
};

template <class T>
using List = std::vector<T, FromArena<T>>;

}  // namespace hiddenstate::runtime
