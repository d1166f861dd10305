// What is in force within a `with` block: edits, a record, a choice of path, replaced functions.
//
// A signal such as Ctrl-C may raise an exception between any two instructions of Python, so code in Python can't end a block
// reliably. Here it begins and ends without running Python code in between, and it also ends when nobody holds it any more: a
// generator that is abandoned, or a block that is left by an exception before it was entered.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <utility>

namespace hiddenstate {

namespace nb = nanobind;

// Puts a value into a namespace while at least one block is open, and afterwards puts back what was there.
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

// What makes up a block.
struct BlockParts {
    nb::object home;      // where it is found: a context variable with a tuple, a list, or None
    nb::object entries;   // a tuple: what is in force
    nb::object switches;  // a tuple of Switch
    nb::object before;    // called when the block is entered, or None
    nb::object after;     // called when it has ended, or None: again if an exception interrupts it, so it must allow that

    template <class F>
    void each_object(const F& f) { f(home), f(entries), f(switches), f(before), f(after); }
};

// What is in force from the beginning of a block to its end. Its home holds this and not the block, so that a block which nobody
// else holds is collected, and ends. The entries belong to the block: they may hold it, and are only borrowed here.
class InForce {
public:
    explicit InForce(BlockParts parts) : parts_(std::move(parts)), entries_(parts_.entries) { parts_.entries = {}; }

    void open(nb::handle self);
    void close(nb::handle self);
    bool is_open() const { return is_open_; }
    // The entries; none once the block has ended.
    nb::object entries() const;
    // Holds the entries, because the block goes and this stays.
    void keep_entries() { parts_.entries = nb::borrow(entries_); }

    template <class F>
    void each_object(const F& f) { parts_.each_object(f); }

private:
    void leave_home(nb::handle self);

    BlockParts parts_;
    nb::handle entries_;
    std::size_t entered_ = 0;  // of the switches
    bool is_open_ = false;
};

// The context manager.
class Block {
public:
    explicit Block(BlockParts parts) : parts_(std::move(parts)) {}
    ~Block() { abandon(); }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    // Opens the block; if `for_good`, it stays open although nobody holds it, until it is entered or closed.
    void open(bool for_good);
    void enter();
    void close();
    // Closes it because nobody holds it any more.
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
