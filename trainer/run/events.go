package run

import (
	"fmt"
	"io"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/tensorboard"
)

// EventsFile is metrics.jsonl once more, as TensorBoard reads it: tensorboard --logdir runs.
const EventsFile = "events.out.tfevents.proxy-trainer"

// appendEvent adds the record that was added to metrics.jsonl last. The file is never more than a copy: the first record after
// Open has it written anew, so that it agrees with metrics.jsonl whatever became of either since. Equal records give equal
// bytes, so a TensorBoard that is looking on notices nothing.
func (f *Folder) appendEvent(r Record) error {
	var err error
	if path := f.Path(EventsFile); f.eventsAgree {
		err = wrap("append to", path, f.dir, f.appendBytes(path, tensorboard.AppendScalars(nil, r.Step, r.Time, r.Metrics)))
	} else {
		err = f.writeEvents()
	}
	f.eventsAgree = err == nil
	return err
}

func (f *Folder) writeEvents() error {
	records, err := ReadMetrics(f.dir)
	if err != nil {
		return err
	}
	if len(records) == 0 {
		return fmt.Errorf("run: %s: no records", f.Path(MetricsFile))
	}
	return f.write(EventsFile, func(w io.Writer) error {
		data := tensorboard.AppendHeader(nil, records[0].Time)
		for _, r := range records {
			data = tensorboard.AppendScalars(data, r.Step, r.Time, r.Metrics)
		}
		_, err := w.Write(data)
		return err
	})
}
