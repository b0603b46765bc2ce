// Package tensorboard writes scalars in the form that TensorBoard reads: a file of records, the first of which says the
// version, and each further one a step's metrics.
//
// A record is what TensorFlow calls a TFRecord,
//
//	uint64  length of data, little-endian
//	uint32  masked CRC-32C of these eight bytes
//	byte    data[length]
//	uint32  masked CRC-32C of data
//
// and its data a protocol buffer, tensorflow.Event (tensorflow/core/util/event.proto), of which this package writes
// wall_time, step, file_version and summary.value.{tag, simple_value}. Both are small and have not changed since 2015, so they
// are written here with protobuf's own wire encoding instead of depending on TensorFlow.
//
// The package is not for images, histograms or text, it does not read, and it opens no file: equal metrics give equal bytes,
// and where they go is package run's affair. Functions may be called by several goroutines at once.
package tensorboard

import (
	"encoding/binary"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// version begins every file that TensorBoard reads.
const version = "brain.Event:2"

// Numbers of the fields of tensorflow.Event, tensorflow.Summary and tensorflow.Summary.Value.
const (
	eventWallTime    = 1 // double
	eventStep        = 2 // int64
	eventFileVersion = 3 // string
	eventSummary     = 5 // Summary

	summaryValue = 1 // repeated Value

	valueTag    = 1 // string
	valueSimple = 2 // float
)

// AppendHeader appends the record that a file begins with; at is the time of its first metrics.
func AppendHeader(to []byte, at time.Time) []byte {
	event := appendWallTime(nil, at)
	event = protowire.AppendTag(event, eventFileVersion, protowire.BytesType)
	event = protowire.AppendString(event, version)
	return appendRecord(to, event)
}

// AppendScalars appends a record with all metrics of a step, in the order of their names. TensorBoard keeps them as float32.
func AppendScalars(to []byte, step int64, at time.Time, metrics map[string]float64) []byte {
	var summary []byte
	for _, tag := range slices.Sorted(maps.Keys(metrics)) {
		var value []byte
		value = protowire.AppendTag(value, valueTag, protowire.BytesType)
		value = protowire.AppendString(value, tag)
		value = protowire.AppendTag(value, valueSimple, protowire.Fixed32Type)
		value = protowire.AppendFixed32(value, math.Float32bits(float32(metrics[tag])))
		summary = protowire.AppendTag(summary, summaryValue, protowire.BytesType)
		summary = protowire.AppendBytes(summary, value)
	}
	event := appendWallTime(nil, at)
	event = protowire.AppendTag(event, eventStep, protowire.VarintType)
	event = protowire.AppendVarint(event, uint64(step))
	event = protowire.AppendTag(event, eventSummary, protowire.BytesType)
	event = protowire.AppendBytes(event, summary)
	return appendRecord(to, event)
}

func appendWallTime(event []byte, at time.Time) []byte {
	seconds := float64(at.UnixMilli()) / 1000
	event = protowire.AppendTag(event, eventWallTime, protowire.Fixed64Type)
	return protowire.AppendFixed64(event, math.Float64bits(seconds))
}

func appendRecord(to, data []byte) []byte {
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	to = append(to, length...)
	to = binary.LittleEndian.AppendUint32(to, maskedCRC(length))
	to = append(to, data...)
	return binary.LittleEndian.AppendUint32(to, maskedCRC(data))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is TensorFlow's: a checksum of data that holds checksums is weak, so they are stored rotated and shifted.
func maskedCRC(data []byte) uint32 {
	crc := crc32.Checksum(data, castagnoli)
	return (crc>>15 | crc<<17) + 0xa282ead8
}
