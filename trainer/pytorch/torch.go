package pytorch

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"
)

// maxPickle bounds the structure of a .pth file, without its numbers; that of an
// actor has some kilobytes.
const maxPickle = 64 << 20

// archive is a file of torch.save: a ZIP file with one folder, in it the pickle
// data.pkl and, for each storage that it refers to, the file data/KEY.
type archive struct {
	file   io.ReaderAt
	size   int64
	folder string
	files  map[string]*zip.File // by their names within folder
}

// readTorch lists the tensors that the file's dictionaries hold, at any depth:
// the tensor "weight" in the dictionary "actor" is "actor.weight".
func readTorch(r io.ReaderAt, size int64) ([]Tensor, error) {
	a, err := openArchive(r, size)
	if err != nil {
		return nil, err
	}
	structure, err := a.pickle()
	if err != nil {
		return nil, err
	}
	if err := checkPickle(structure); err != nil {
		return nil, err
	}
	root, err := a.load(structure)
	if err != nil {
		return nil, err
	}
	w := walker{}
	if err := w.walk("", root, 0); err != nil {
		return nil, err
	}
	return w.tensors, nil
}

func openArchive(r io.ReaderAt, size int64) (*archive, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("the file is cut short, or damaged: %w", err)
	}
	a := &archive{file: r, size: size, files: make(map[string]*zip.File)}
	for _, f := range z.File {
		if folder, ok := strings.CutSuffix(f.Name, "data.pkl"); ok && a.folder == "" {
			a.folder = folder
		}
	}
	for _, f := range z.File {
		if name, ok := strings.CutPrefix(f.Name, a.folder); ok {
			a.files[name] = f
		}
	}
	switch {
	case a.files["data.pkl"] == nil:
		return nil, errors.New("a ZIP file without data.pkl: torch.save has not written it")
	case a.files["constants.pkl"] != nil:
		return nil, errors.New("a TorchScript module: save the state_dict alone, torch.save(actor.state_dict(), …)")
	}
	return a, a.checkByteOrder()
}

func (a *archive) checkByteOrder() error {
	f := a.files["byteorder"]
	if f == nil {
		return nil // older than the file, and little-endian everywhere
	}
	s, err := a.section(f)
	if err != nil {
		return err
	}
	order := make([]byte, min(s.Size(), 16))
	if _, err := s.ReadAt(order, 0); err != nil {
		return err
	}
	if string(order) != "little" {
		return fmt.Errorf("its byte order is %q, want little: save it again on another machine", order)
	}
	return nil
}

// section is where a file of the archive lies. torch.save compresses nothing.
func (a *archive) section(f *zip.File) (*io.SectionReader, error) {
	if f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64 {
		return nil, fmt.Errorf("%s is compressed, as torch.save never does: save the file again", f.Name)
	}
	offset, err := f.DataOffset()
	if err == nil && f.UncompressedSize64 > uint64(max(a.size-offset, 0)) {
		err = fmt.Errorf("it would have %d bytes of the %d that are left", f.UncompressedSize64, a.size-offset)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the file is cut short, or damaged: %w", f.Name, err)
	}
	return io.NewSectionReader(a.file, offset, int64(f.UncompressedSize64)), nil
}

func (a *archive) pickle() ([]byte, error) {
	s, err := a.section(a.files["data.pkl"])
	if err != nil {
		return nil, err
	}
	if s.Size() > maxPickle {
		return nil, fmt.Errorf("its data.pkl has %d bytes, want %d at most: this is no actor", s.Size(), maxPickle)
	}
	return io.ReadAll(s)
}

// load decodes a pickle that has been checked. A panic of the decoder is a damaged file.
func (a *archive) load(structure []byte) (root any, err error) {
	defer func() {
		if p := recover(); p != nil {
			root, err = nil, fmt.Errorf("its pickle is damaged: %v", p)
		}
	}()
	u := pickle.NewUnpickler(bytes.NewReader(structure))
	u.FindClass = findClass
	u.PersistentLoad = a.storage
	if root, err = u.Load(); err != nil {
		return nil, fmt.Errorf("its pickle is damaged: %w", err)
	}
	return root, nil
}

// storage is a file of the archive with the elements of one tensor or several.
type storage struct {
	dtype string
	data  *io.SectionReader
	count int // of elements
}

// storageClass is the class that a storage is said to have.
type storageClass string

var storageTypes = map[string]storageClass{
	"DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
	"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
}

// storage finds what a pickle refers to as ("storage", class, key, device, count).
func (a *archive) storage(id any) (any, error) {
	t, ok := id.(*types.Tuple)
	if !ok || t.Len() < 5 {
		return nil, errors.New("a reference is no storage")
	}
	class, ok1 := t.Get(1).(storageClass)
	key, ok2 := t.Get(2).(string)
	count, ok3 := t.Get(4).(int)
	f := a.files["data/"+key]
	if !ok1 || !ok2 || !ok3 || count < 0 || f == nil {
		return nil, fmt.Errorf("storage %q of %v elements is not in the file", key, t.Get(4))
	}
	s, err := a.section(f)
	if err != nil {
		return nil, err
	}
	if kind, known := dtypes[string(class)]; known && (count > maxElements || int64(count)*int64(kind.size) > s.Size()) {
		return nil, fmt.Errorf("storage %q has %d bytes, too few for %d numbers of %s", key, s.Size(), count, class)
	}
	return storage{dtype: string(class), data: s, count: count}, nil
}

// findClass makes what the allowed classes stand for.
func findClass(module, name string) (any, error) {
	switch class := storageTypes[name]; {
	case module == "torch" && class != "":
		return class, nil
	case name == "_rebuild_tensor_v2":
		return callable(rebuildTensor), nil
	case name == "_rebuild_parameter":
		return callable(func(args []any) (any, error) {
			if len(args) == 0 {
				return nil, errors.New("a parameter without a tensor")
			}
			return args[0], nil
		}), nil
	}
	return nil, fmt.Errorf("unknown class %s.%s", module, name)
}

type callable func(args []any) (any, error)

var _ types.Callable = callable(nil)

func (c callable) Call(args ...any) (any, error) { return c(args) }

// rebuildTensor makes a tensor of (storage, first element, shape, strides, …).
func rebuildTensor(args []any) (any, error) {
	if len(args) < 4 {
		return nil, errors.New("a tensor without a shape")
	}
	s, ok1 := args[0].(storage)
	first, ok2 := args[1].(int)
	shape, ok3 := integers(args[2])
	stride, ok4 := integers(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 || first < 0 || len(shape) != len(stride) {
		return nil, errors.New("a tensor with a shape that is not understood")
	}
	n, ok := elements(shape)
	if !ok || n > s.count {
		return nil, fmt.Errorf("a tensor of shape %v in a storage of %d elements", shape, s.count)
	}
	last := first
	for i, step := range stride {
		if step < 0 || step > s.count {
			return nil, fmt.Errorf("a tensor of strides %v in a storage of %d elements", stride, s.count)
		}
		last += max(shape[i]-1, 0) * step
	}
	if n > 0 && last >= s.count {
		return nil, fmt.Errorf("a tensor of shape %v from element %d on in a storage of %d", shape, first, s.count)
	}
	size := int64(dtypes[s.dtype].size)
	return Tensor{Shape: shape, DType: s.dtype, stride: stride, data: io.NewSectionReader(s.data, int64(first)*size, s.data.Size())}, nil
}

func integers(v any) ([]int, bool) {
	t, ok := v.(*types.Tuple)
	if !ok || t.Len() > 8 {
		return nil, false
	}
	out := make([]int, t.Len())
	for i := range out {
		if out[i], ok = t.Get(i).(int); !ok {
			return nil, false
		}
	}
	return out, true
}

// walker collects the tensors of nested dictionaries.
type walker struct {
	tensors []Tensor
	seen    int
}

// Limits of nesting. A dictionary may occur in several places, or in itself.
const (
	maxDepth   = 8
	maxEntries = 1 << 16
)

func (w *walker) walk(name string, v any, depth int) error {
	if w.seen++; depth > maxDepth || w.seen > maxEntries {
		return fmt.Errorf("more than %d entries, or %d dictionaries in one another: this is no actor", maxEntries, maxDepth)
	}
	switch v := v.(type) {
	case Tensor:
		v.Name = name
		w.tensors = append(w.tensors, v)
	case *types.Dict:
		for _, e := range *v {
			if err := w.walk(join(name, e.Key), e.Value, depth+1); err != nil {
				return err
			}
		}
	case *types.OrderedDict:
		for e := v.List.Front(); e != nil; e = e.Next() {
			entry := e.Value.(*types.OrderedDictEntry)
			if err := w.walk(join(name, entry.Key), entry.Value, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func join(name string, key any) string {
	text := ""
	switch key := key.(type) {
	case string:
		text = key
	case int:
		text = fmt.Sprint(key)
	default:
		text = fmt.Sprintf("%T", key)
	}
	if name == "" {
		return text
	}
	return name + "." + text
}
