package pytorch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Forms of what follows an opcode of the pickle language. Values from 0 on are
// a number of bytes.
const (
	lines2  = -1 // two lines: a class's module and name
	length1 = -2 // as many bytes as one byte says
	length4 = -3 // as many bytes as four bytes say
)

// opcodes are those that torch.save uses for dictionaries of tensors, numbers and
// text (pickle protocol 2), with what follows each: Python's pickletools explains
// them. None of them can call anything but the classes of [globals].
var opcodes = map[byte]int{
	'\x80': 1, '.': 0, // PROTO, STOP
	'N': 0, '\x88': 0, '\x89': 0, // NONE, NEWTRUE, NEWFALSE
	'J': 4, 'K': 1, 'M': 2, 'G': 8, '\x8a': length1, // BININT, BININT1, BININT2, BINFLOAT, LONG1
	'X': length4, '\x8c': length1, 'C': length1, 'B': length4, // BINUNICODE, SHORT_BINUNICODE, SHORT_BINBYTES, BINBYTES
	'}': 0, 's': 0, 'u': 0, // EMPTY_DICT, SETITEM, SETITEMS
	']': 0, 'a': 0, 'e': 0, // EMPTY_LIST, APPEND, APPENDS
	')': 0, '(': 0, 't': 0, '\x85': 0, '\x86': 0, '\x87': 0, // EMPTY_TUPLE, MARK, TUPLE, TUPLE1, TUPLE2, TUPLE3
	'q': 1, 'r': 4, 'h': 1, 'j': 4, // BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
	'c': lines2, 'Q': 0, 'R': 0, 'b': 0, // GLOBAL, BINPERSID, REDUCE, BUILD
}

// globals are the classes that may be named: they make tensors.
var globals = []string{
	"collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter",
	"torch.DoubleStorage", "torch.FloatStorage", "torch.HalfStorage", "torch.BFloat16Storage",
	"torch.LongStorage", "torch.IntStorage", "torch.ShortStorage", "torch.CharStorage", "torch.ByteStorage", "torch.BoolStorage",
}

// checkPickle walks over a pickle without decoding it and makes sure that decoding
// it is harmless: gopickle believes every length, and would make an object of
// every class. What passes here has no length beyond its end and names no class
// but those of [globals].
func checkPickle(data []byte) error {
	for at := 0; at < len(data); {
		op := data[at]
		form, known := opcodes[op]
		if !known {
			return fmt.Errorf("its pickle uses opcode %#x, which no file of tensors needs: save the state_dict alone, torch.save(actor.state_dict(), …)", op)
		}
		at++
		if op == '.' {
			return nil
		}
		n, err := argument(data[at:], form)
		if err != nil {
			return err
		}
		at += n
	}
	return errors.New("its pickle has no end: the file is cut short")
}

// argument returns the bytes that follow an opcode.
func argument(rest []byte, form int) (n int, err error) {
	cut := errors.New("its pickle is cut short")
	switch form {
	case lines2:
		return class(rest)
	case length1:
		if len(rest) < 1 {
			return 0, cut
		}
		n = 1 + int(rest[0])
	case length4:
		if len(rest) < 4 {
			return 0, cut
		}
		n = 4 + int(binary.LittleEndian.Uint32(rest))
	default:
		n = form
	}
	if n > len(rest) {
		return 0, cut
	}
	return n, nil
}

func class(rest []byte) (n int, err error) {
	module, after, ok := bytes.Cut(rest, []byte("\n"))
	name, _, ok2 := bytes.Cut(after, []byte("\n"))
	if !ok || !ok2 {
		return 0, errors.New("its pickle is cut short in the name of a class")
	}
	if full := string(module) + "." + string(name); !slices.Contains(globals, full) {
		return 0, fmt.Errorf("it holds a %q, which only Python can load: save the state_dict alone, torch.save(actor.state_dict(), …)", full)
	}
	return len(module) + len(name) + 2, nil
}
