#!/bin/sh
# Makes the tray's icons: ours, and in its corner a sign of the worst state that colour and shape tell apart.
set -eu
cd "$(dirname "$0")/../src-tauri/icons"
make() {
  name=$1
  shift
  convert 128x128@2x.png -filter Lanczos -resize 64x64 -stroke white -strokewidth 3 "$@" -strip "PNG32:tray/$name.png"
}
make well
make error -fill '#c0261e' -draw 'circle 46,46 46,61' -stroke none -fill white -draw 'rectangle 44,36 47,49' -draw 'rectangle 44,53 47,56'
make update -fill '#f1b81c' -draw 'polygon 46,29 63,61 29,61' -stroke none -fill '#3a2c00' -draw 'rectangle 44,40 47,51' -draw 'rectangle 44,54 47,57'
make offline -fill white -draw 'circle 46,46 46,61' -fill none -stroke '#545e6b' -strokewidth 5 -draw 'circle 46,46 46,56'
make unknown -fill '#7c8794' -draw 'circle 46,46 46,61' -stroke none -fill white -font DejaVu-Sans-Bold -pointsize 24 -draw "text 39,55 '?'"
