package main

import (
	"io"

	"github.com/olekukonko/tablewriter"
)

// writeTable writes rows in columns, under a header if there is one.
func writeTable(w io.Writer, header []string, rows [][]string) {
	t := tablewriter.NewWriter(w)
	t.SetHeader(header)
	t.SetAutoFormatHeaders(false)
	t.SetHeaderAlignment(tablewriter.ALIGN_LEFT)
	t.SetAlignment(tablewriter.ALIGN_LEFT)
	t.SetAutoWrapText(false)
	t.SetBorder(false)
	t.SetHeaderLine(false)
	t.SetColumnSeparator("")
	t.SetCenterSeparator("")
	t.SetNoWhiteSpace(true)
	t.SetTablePadding("  ")
	t.AppendBulk(rows)
	t.Render()
}
