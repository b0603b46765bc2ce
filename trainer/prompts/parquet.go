package prompts

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/parquet-go/parquet-go"
)

// parquetMagic begins and ends a Parquet file.
const parquetMagic = "PAR1"

// readParquet reads a Parquet file of any schema: every row becomes the JSON
// object that it would be in JSON Lines, with text, numbers, structs and lists
// (messages) as its columns have them, and is parsed as such. So what is said of
// keys holds here too.
//
// Its metadata is at the end, so the file is taken into memory. A panic of the
// decoder is a damaged file.
func readParquet(r io.Reader, key string) (records []record, err error) {
	defer func() {
		if p := recover(); p != nil {
			records, err = nil, fmt.Errorf("row %d: the Parquet file is damaged: %v", len(records)+1, p)
		}
	}()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if err := checkFooter(data); err != nil {
		return nil, fmt.Errorf("the Parquet file is damaged: %w", err)
	}
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("the Parquet file is damaged: %w", err)
	}
	for _, group := range file.RowGroups() {
		records, err = readRowGroup(records, group, key)
		if err != nil {
			return nil, err
		}
	}
	return records, nil
}

// checkFooter looks at the end of the file: four bytes with the length of the
// metadata before them, and the magic. The decoder believes the length.
func checkFooter(data []byte) error {
	const end = 4 + len(parquetMagic)
	n := len(data) - len(parquetMagic) - end // what metadata may take
	if n < 0 || string(data[len(data)-len(parquetMagic):]) != parquetMagic {
		return fmt.Errorf("it does not end with %s: it is cut short", parquetMagic)
	}
	if length := binary.LittleEndian.Uint32(data[len(data)-end:]); int64(length) > int64(n) {
		return fmt.Errorf("its metadata is said to have %d bytes, of %d", length, n)
	}
	return nil
}

// readRowGroup adds the records of one row group.
func readRowGroup(records []record, group parquet.RowGroup, key string) ([]record, error) {
	rows := group.Rows()
	defer rows.Close()
	buffer := make([]parquet.Row, 64)
	for {
		n, err := rows.ReadRows(buffer)
		for _, row := range buffer[:n] {
			rec, err := parseRow(group.Schema(), row, key)
			if err != nil {
				return nil, fmt.Errorf("row %d: %w", len(records)+1, err)
			}
			records = append(records, rec)
		}
		switch {
		case errors.Is(err, io.EOF):
			return records, nil
		case err != nil:
			return nil, fmt.Errorf("row %d: the Parquet file is damaged: %w", len(records)+1, err)
		case n == 0:
			return nil, fmt.Errorf("row %d: the Parquet file is damaged: no rows where its metadata has some", len(records)+1)
		}
	}
}

func parseRow(schema *parquet.Schema, row parquet.Row, key string) (record, error) {
	var columns any
	if err := schema.Reconstruct(&columns, row); err != nil {
		return record{}, err
	}
	raw, err := json.Marshal(textual(columns))
	if err != nil {
		return record{}, err
	}
	return parse(raw, key)
}

// textual makes text of bytes, which is what many writers call it, and nothing of
// numbers that JSON has none for, at any depth.
func textual(v any) any {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case float32:
		if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
			return nil
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
	case map[string]any:
		for k := range v {
			v[k] = textual(v[k])
		}
		return v
	case []any:
		for i := range v {
			v[i] = textual(v[i])
		}
		return v
	}
	return v
}
