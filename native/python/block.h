// Blocks: entries that are in force within a `with` statement, such as edits, a record, a selected path, or replaced functions.
//
// A signal such as Ctrl-C may raise an exception between any two Python instructions, so Python code can't end a block reliably. Native
// code opens and closes a block without running Python code in between. A block also ends when it is garbage-collected, for example with an
// abandoned generator, or if an exception strikes before the block is entered.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <utility>

namespace hiddenstate {

namespace nb = nanobind;

// Sets a value in a namespace while at least one block is open, and restores the old one afterwards.
class Switch {
public:
    Switch(nb::dict names, nb::object name, nb::object value);

    void enter();
    void leave();
    long count() const { return count_; }

    // Calls f with each Python object that the switch holds, for the garbage collector.
    template <class F>
    void each_object(const F& f) { f(names_), f(name_), f(value_), f(before_); }

private:
    nb::object names_, name_, value_, before_;
    long count_ = 0;
};

// The parts of a block.
struct BlockParts {
    nb::object home;      // where other code looks up the entries: a context variable with a tuple, a list, or None
    nb::object entries;   // a tuple: the objects in force
    nb::object switches;  // a tuple of Switch objects
    nb::object before;    // called when the block is entered, or None
    nb::object after;     // called when the block has ended, and again if an exception interrupts it; or None

    template <class F>
    void each_object(const F& f) { f(home), f(entries), f(switches), f(before), f(after); }
};

// An object in force from the beginning of a block to its end. The home refers to this object, not to the block, so an unreferenced block
// can be collected, which ends it. The entries belong to the block: they may refer to it, and are only borrowed here.
class InForce {
public:
    explicit InForce(BlockParts parts) : parts_(std::move(parts)), entries_(parts_.entries) { parts_.entries = {}; }

    void open(nb::handle self);
    void close(nb::handle self);
    bool is_open() const { return is_open_; }
    // The entries; empty once the block has ended.
    nb::object entries() const;
    // Keeps the entries alive, because this object outlives the block.
    void keep_entries() { parts_.entries = nb::borrow(entries_); }

    template <class F>
    void each_object(const F& f) { parts_.each_object(f); }

private:
    void leave_home(nb::handle self);

    BlockParts parts_;
    nb::handle entries_;
    std::size_t entered_ = 0;  // the switches' old values
    bool is_open_ = false;
};

// The context manager.
class Block {
public:
    explicit Block(BlockParts parts) : parts_(std::move(parts)) {}
    ~Block() { abandon(); }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    // Opens the block. With `for_good`, it stays open until it is entered or closed, even if nothing refers to it.
    void open(bool for_good);
    void enter();
    void close();
    // Closes the block because nothing refers to it any more.
    void abandon();
    bool is_open() const;
    const BlockParts& parts() const { return parts_; }

    template <class F>
    void each_object(const F& f) { parts_.each_object(f), f(now_); }

private:
    BlockParts parts_;
    nb::object now_;
    bool for_good_ = false;
};

// Whether anything is in force in a context variable. Its tuple may also hold blocks that were closed in another context.
bool is_any_open(nb::handle value);

void bind_block(nb::module_& m);

}  // namespace hiddenstate
