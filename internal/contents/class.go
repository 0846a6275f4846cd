package contents

import "strings"

// A Class is a sort of bytes of a message.
type Class string

// The classes, in the order of reports.
const (
	ClassHeaders  Class = "headers" // with boundary lines and all else between bodies
	ClassText     Class = "text"
	ClassHTML     Class = "html"
	ClassImages   Class = "images"
	ClassOffice   Class = "office"
	ClassPDF      Class = "pdf"
	ClassArchives Class = "archives"
	ClassOther    Class = "other"
)

// Classes has all classes, in the order of reports.
var Classes = []Class{ClassHeaders, ClassText, ClassHTML, ClassImages, ClassOffice, ClassPDF, ClassArchives,
	ClassOther}

// ClassOf returns the class of the body of a part by its media type. An empty media type stands for
// the bytes between bodies.
func ClassOf(mediaType string) Class {
	major, minor, _ := strings.Cut(mediaType, "/")
	switch {
	case mediaType == "":
		return ClassHeaders
	case mediaType == "text/html":
		return ClassHTML
	case major == "text" || major == "message" || minor == "ics":
		return ClassText
	case major == "image":
		return ClassImages
	case minor == "pdf":
		return ClassPDF
	case strings.HasPrefix(minor, "vnd.openxmlformats") || strings.HasPrefix(minor, "vnd.oasis.opendocument") ||
		strings.HasPrefix(minor, "vnd.ms-") || minor == "msword":
		return ClassOffice
	case minor == "zip" || minor == "gzip" || minor == "x-zip-compressed" || minor == "x-gzip" || minor == "x-tar" ||
		minor == "x-7z-compressed" || minor == "x-rar-compressed" || minor == "vnd.rar" ||
		minor == "x-bzip2" || minor == "zstd":
		return ClassArchives
	}
	return ClassOther
}
