#!/usr/bin/env bash
# Makes the files here with ffmpeg: a second of a 440 Hz tone in each container, and a little picture where one has pictures.
# Another version of ffmpeg makes other bytes, which is why they are checked in.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

tone=(-f lavfi -i 'sine=frequency=440:sample_rate=8000:duration=1')
picture=(-f lavfi -i 'testsrc=size=64x48:rate=5:duration=1')
make() { ffmpeg -hide_banner -loglevel error -y "$@"; }
exact=(-fflags +bitexact -flags:a +bitexact -flags:v +bitexact -map_metadata -1)

make "${tone[@]}" "${exact[@]}" -c:a pcm_s16le tone.wav
make "${tone[@]}" "${exact[@]}" -c:a pcm_s16be tone.aiff
make "${tone[@]}" "${exact[@]}" -c:a libmp3lame -b:a 16k -metadata title='A tone' -metadata artist='ffmpeg' tone.mp3
make "${tone[@]}" "${exact[@]}" -c:a flac -metadata title='A tone' tone.flac
make "${tone[@]}" "${exact[@]}" -c:a libvorbis -b:a 24k -ac 2 tone.ogg
make "${tone[@]}" "${exact[@]}" -c:a libopus -b:a 8k -ar 8000 tone.opus
make "${tone[@]}" "${picture[@]}" "${exact[@]}" -c:a aac -b:a 24k -c:v libx264 -crf 40 -pix_fmt yuv420p -movflags +faststart clip.mp4
make "${tone[@]}" "${picture[@]}" "${exact[@]}" -c:a libvorbis -c:v libvpx -b:v 20k clip.webm
make "${picture[@]}" "${exact[@]}" -c:v libx264 -crf 40 -pix_fmt yuv420p silent.mp4
