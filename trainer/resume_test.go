package main

import "testing"

func TestResumeLine(t *testing.T) {
	for want, args := range map[string][]string{
		"bin/proxy-trainer train --config my.yaml":                {"bin/proxy-trainer", "train", "--config", "my.yaml"},
		"proxy-trainer train --seed 2":                            {"proxy-trainer", "train", "--resume", "never", "--seed", "2"},
		"proxy-trainer train":                                     {"proxy-trainer", "train", "--resume=runs/a/best.ckpt"},
		"proxy-trainer sweep --sweep.grid '{tokens: [8, 16]}' -x": {"proxy-trainer", "sweep", "--sweep.grid", "{tokens: [8, 16]}", "-x"},
	} {
		if got := resumeLine(args); got != want {
			t.Errorf("%q: %s, want %s", args, got, want)
		}
	}
}
