// Blocks: entries in force within a `with` statement, such as edits, a record, a choice of path, or replaced functions.
//
// A signal such as Ctrl-C may raise an exception between any two instructions of Python, so code in Python can't end a block
// reliably. Here it begins and ends without running Python code in between, and it also ends when it is garbage-collected, as with an
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

    // Calls f with each Python object that this holds, for the garbage collector.
    template <class F>
    void each_object(const F& f) { f(names_), f(name_), f(value_), f(before_); }

private:
    nb::object names_, name_, value_, before_;
    long count_ = 0;
};

// The parts of a block.
struct BlockParts {
    nb::object home;      // where its entries are found: a context variable with a tuple, a list, or None
    nb::object entries;   // a tuple: the objects in force
    nb::object switches;  // a tuple of Switch
    nb::object before;    // called when the block is entered, or None
    nb::object after;     // called when it has ended, or None: again if an exception interrupts it, so it must allow that

    template <class F>
    void each_object(const F& f) { f(home), f(entries), f(switches), f(before), f(after); }
};

// An object in force from the beginning of a block to its end. The home refers to this object, not to the block, so that an unreferenced
// block is collected, and ends. The entries belong to the block: they may refer to it, and are only borrowed here.
class InForce {
public:
    explicit InForce(BlockParts parts) : parts_(std::move(parts)), entries_(parts_.entries) { parts_.entries = {}; }

    void open(nb::handle self);
    void close(nb::handle self);
    bool is_open() const { return is_open_; }
    // The entries; none once the block has ended.
    nb::object entries() const;
    // Keeps the entries, because this outlives the block.
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

    // Opens the block; with `for_good`, it stays open even if unreferenced, until it is entered or closed.
    void open(bool for_good);
    void enter();
    void close();
    // Closes it because it is no longer referenced.
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

// Whether something is in force in a context variable: its tuple may also hold blocks that were closed in another context.
bool is_any_open(nb::handle value);

void bind_block(nb::module_& m);

}  // namespace hiddenstate
