# Windows on a recovered disk, for dm-prep: NTFS, the registry, drivers.
# shellcheck shell=bash disable=SC2154  # the program's variables
#
# NTFS: the layout of $Volume's attribute 0x70 and of the boot sector as in
# ntfs-3g's layout.h; hiberfil.sys as in its volume.c.  Services: Type, Start,
# ErrorControl, ImagePath and Group as Microsoft's "CurrentControlSet\Services
# Subkeys"; CriticalDeviceDatabase is what Windows up to 7 matches boot disks with.

windows_start() {
	case $1 in
	boot) echo 0 ;; system) echo 1 ;; auto) echo 2 ;; manual) echo 3 ;; disabled) echo 4 ;;
	*) return 1 ;;
	esac
}

# ntfs_mount DEVICE OPTIONS: sets $root; names in any case.  The process of an
# earlier mount has the device for a moment after that is gone.
ntfs_mount() {
	local end=$((SECONDS + 10))
	root=$run/ntfs.$RANDOM
	mkdir "$root" || return 1
	until why=$(lowntfs-3g -o "$2,ignore_case,nodev,nosuid,noexec" "$1" "$root" 2>&1 </dev/null); do
		[[ $why == *busy* && $SECONDS -lt $end ]] || return 1
		sleep 0.1
	done
	mounted=("$root" "${mounted[@]}")
}

# hive_get HIVE KEY VALUE
hive_get() {
	hivexget "$1" "$2" "$3" 2>/dev/null
}

# hive_opens FILE: it is whole as far as hivex can see, all of it.
hive_opens() {
	within_time hivexregedit --export --prefix X "$1" '\' >/dev/null 2>"$run/hive"
}
# Bytes of a stranger may keep a program busy for ever.
within_time() {
	timeout -k 5 120 "$@"
}

# windows_link: what, on the way to the files that are read or written, is a link:
# it would lead to this host's files.  Windows has none there.
windows_link() {
	local at
	for at in Windows{,/INF,/System32{,/drivers,/config{,/SYSTEM,/SOFTWARE,/SAM,/SECURITY,/DEFAULT}}} hiberfil.sys; do
		[ ! -L "$root/$at" ] || { echo "$at"; return 0; }
	done
	return 1
}

# windows_look NUMBER WHERE DEVICE
windows_look() {
	local n=$1 where=$2 dev=$3 flags head link
	need lowntfs-3g ntfs-3g "to look into NTFS"
	need hivexregedit libwin-hivex-perl "to look into the registry"
	flags=$(ntfscat -a 0x70 "$dev" '$Volume' 2>/dev/null | od -An -tu2 -j10 -N2 | tr -d ' ')
	ntfsfix -n "$dev" >"$run/ntfsfix" 2>&1 || {
		problem 3 "$where" "its NTFS is damaged: $(tail -n 1 "$run/ntfsfix"); run chkdsk on it, or take an older checkpoint"
		return
	}
	[ -n "$flags" ] && [ $((flags & 1)) -eq 0 ] ||
		problem 1 "$where" "its NTFS is marked dirty: Windows was not shut down; let chkdsk run, or after a look ntfsfix -d"
	ntfs_mount "$dev" ro || {
		problem 3 "$where" "its NTFS cannot be mounted: ${why##*$'\n'}"
		return
	}
	if link=$(windows_link); then
		problem 3 "$where" "$link is a link and leads elsewhere: nothing can be checked or prepared"
		release
		return
	fi
	head=$([ ! -f "$root/hiberfil.sys" ] || head -c 4 "$root/hiberfil.sys" 2>/dev/null | tr -d '\0' | tr A-Z a-z)
	[ "$head" != hibr ] ||
		problem 1 "$where" "Windows is hibernated or was shut down by fast startup: start it once and shut it down with 'shutdown /s /t 0'"
	[ ! -d "$root/Windows/System32/config" ] || windows_system "$n" "$where" "$dev"
	release
}

# A partition with Windows: its hives.
windows_system() {
	local n=$1 where=$2 dev=$3 h set name hives='{}' ok
	system=$(jq -nc --argjson n "$n" --arg dev "$dev" '{kind: "windows", partition: $n, device: $dev}')
	for h in SYSTEM SOFTWARE SAM SECURITY DEFAULT; do
		ok=absent
		if [ -f "$root/Windows/System32/config/$h" ]; then
			cp "$root/Windows/System32/config/$h" "$run/$h" 2>/dev/null && hive_opens "$run/$h" && ok=ok || ok=damaged
		fi
		hives=$(jq -c --arg h "$h" --arg ok "$ok" '.[$h] = $ok' <<<"$hives")
		case $h:$ok in
		*:damaged) problem 3 "$where" "the registry's hive $h is damaged: take an older checkpoint" ;;
		SYSTEM:absent | SOFTWARE:absent) problem 1 "$where" "the registry's hive $h is missing" ;;
		esac
	done
	note hives "$hives"
	name=$(hive_get "$run/SOFTWARE" 'Microsoft\Windows NT\CurrentVersion' ProductName)
	note name "$(text "${name:-Windows}")"
	set=$(hive_get "$run/SYSTEM" Select Current)
	if [[ $set =~ ^[0-9]{1,3}$ ]]; then
		set=$(printf 'ControlSet%03d' "$((10#$set))")
		note control_set "$(text "$set")"
		note boot_drivers "$(windows_boot_drivers "$set" | jq -R . | jq -sc .)"
	elif [ "$(jq -r .SYSTEM <<<"$hives")" = ok ]; then
		problem 3 "$where" "the registry's hive SYSTEM does not say which control set is current"
	fi
	jq -c . <<<"$system" >>"$run/systems"
}

# The storage drivers that are started at boot.
windows_boot_drivers() {
	local s
	for s in viostor vioscsi stornvme storahci xenvbd xenvbd pvscsi storvsc LSI_SAS; do
		[ "$(hive_get "$run/SYSTEM" "$1\\Services\\$s" Start)" != 0 ] || echo "$s"
	done | sort -u
}

# --- drivers --------------------------------------------------------------

# inf_services FILE: "NAME TYPE START ERROR FILE GROUP" separated by tabs for
# each service an INF adds; and lines "ID<tab>HARDWARE" for boot-start class
# matches.  Sections, %strings% and line continuation as in "INF File Sections
# and Directives".
inf_plain() {
	if head -c 2 "$1" | od -An -tx1 | grep -q 'ff fe'; then
		iconv -f UTF-16 -t UTF-8 "$1"
	else
		cat "$1"
	fi | tr -d '\r'
}
inf_read() {
	inf_plain "$1" | awk -F'\t' '
	function trim(s) { gsub(/^[ \t]+|[ \t]+$/, "", s); return s }
	function plain(s,  a, k) {
		s = trim(s); gsub(/"/, "", s)
		while (match(s, /%[^%]+%/)) {
			k = tolower(substr(s, RSTART + 1, RLENGTH - 2))
			if (!(k in str)) { if (k ~ /^[0-9]+$/) a = ""; else a = k } else a = str[k]
			s = substr(s, 1, RSTART - 1) a substr(s, RSTART + RLENGTH)
		}
		return s
	}
	{ sub(/;.*/, ""); line = line trim($0)
	  if (line ~ /\\$/ && line !~ /^\[/) { sub(/\\$/, "", line); next }
	  if (line ~ /^\[.*\]/) { sec = tolower(substr(line, 2, index(line, "]") - 2)); line = ""; next }
	  if (line != "") { n++; where[n] = sec; what[n] = line } line = "" }
	END {
		for (i = 1; i <= n; i++) if (where[i] ~ /^strings/ && (p = index(what[i], "="))) {
			k = tolower(trim(substr(what[i], 1, p - 1))); v = trim(substr(what[i], p + 1)); gsub(/"/, "", v)
			if (!(k in str)) str[k] = v }
		for (i = 1; i <= n; i++) if ((p = index(what[i], "="))) {
			k = tolower(trim(substr(what[i], 1, p - 1))); v = trim(substr(what[i], p + 1))
			if (where[i] == "version" && k == "classguid") guid = plain(v)
			set[where[i], k] = v
			if (k == "addservice") add[++m] = v }
		for (i = 1; i <= m; i++) {
			c = split(add[i], f, ","); s = tolower(trim(f[3])); name = plain(f[1])
			if (name == "" || c < 3 || seen[name]++) continue
			bin = plain(set[s, "servicebinary"]); sub(/.*[\\\/]/, "", bin)
			print "S\t" name "\t" plain(set[s, "servicetype"]) "\t" plain(set[s, "starttype"]) "\t" \
			    plain(set[s, "errorcontrol"]) "\t" bin "\t" plain(set[s, "loadordergroup"]) }
		for (i = 1; i <= n; i++) {
			c = split(what[i], f, ",")
			for (j = 2; j <= c; j++) { v = plain(f[j])
				if (v ~ /^PCI\\VEN_[0-9A-Fa-f]+&DEV_[0-9A-Fa-f&A-Z_]*$/ && !hw[v]++) print "H\t" v "\t" guid } }
	}'
}

reg_text() {
	# As hex(2): expandable, UTF-16LE, with its end.
	printf '%s' "$1" | iconv -t UTF-16LE | od -An -v -tx1 | tr -d '\n' | sed 's/^ //; s/ /,/g'
	printf ',00,00'
}
reg_keys() {
	# A key and those above it.
	local at='HKEY_LOCAL_MACHINE\SYSTEM' part
	local -a parts
	mapfile -t parts < <(tr '\134' '\n' <<<"$1")
	for part in "${parts[@]}"; do
		at+="\\$part"
		printf '[%s]\n\n' "$at"
	done | sed '$d'
}
number() {
	[[ $1 =~ ^(0[xX][0-9a-fA-F]{1,8}|[0-9]{1,9})$ ]] && printf '%08x' "$(($1))" || printf '%08x' "$2"
}

# windows_driver SYS: the registry text of one driver, its INF beside it or not.
windows_driver() {
	local sys=$1 base name inf type=1 start=0 error=1 group='SCSI miniport' kind a b
	base=$(basename "$sys")
	name=${base%.*}
	inf=$(find "$inject" -maxdepth 1 -type f -iname '*.inf' -print0 | while IFS= read -r -d '' i; do
		inf_read "$i" | awk -F'\t' -v b="$base" '$1 == "S" && tolower($6) == tolower(b) { found = 1 } END { exit !found }' && {
			printf %s "$i"
			break
		}
	done)
	if [ -n "$inf" ]; then
		IFS=$'\t' read -r _ name type start error _ group < <(inf_read "$inf" | awk -F'\t' -v b="$base" \
		    '$1 == "S" && tolower($6) == tolower(b) { gsub(/\t\t/, "\t-\t"); print; exit }')
	fi
	[[ $name =~ ^[A-Za-z0-9_.-]{1,64}$ ]] || { problem 1 drivers "$base: '$name' is no name of a service"; return 1; }
	reg_keys "$control_set\\Services\\$name"
	printf '"Type"=dword:%s\n"Start"=dword:%s\n"ErrorControl"=dword:%s\n"ImagePath"=hex(2):%s\n' \
	    "$(number "$type" 1)" "$(number "$start" 0)" "$(number "$error" 1)" "$(reg_text "system32\\drivers\\$base")"
	[ -z "$group" ] || [ "$group" = - ] || printf '"Group"="%s"\n' "${group//[\\\"]/}"
	echo
	if [ -n "$inf" ] && [ "$(number "$start" 3)" = 00000000 ]; then
		while IFS=$'\t' read -r kind a b; do
			[ "$kind" = H ] || continue
			reg_keys "$control_set\\Control\\CriticalDeviceDatabase\\$(tr '\\A-Z' '#a-z' <<<"$a")"
			printf '"Service"="%s"\n' "$name"
			[[ ! $b =~ ^\{[0-9A-Fa-f-]{36}\}$ ]] || printf '"ClassGUID"="%s"\n' "$b"
			echo
		done < <(inf_read "$inf")
	fi
	echo "$name" >>"$run/injected"
	[ -z "$inf" ] || printf '%s\n' "$inf" >>"$run/infs"
}

# --- writing --------------------------------------------------------------

# The hive is changed in a copy, which must open and say what it should, and
# then takes the old one's place; the old one stays beside it.  What stands under
# a name that is written goes first: it may be a link to a file of this host.
windows_change() {
	local dev reg=$run/change.reg sys s name where
	dev=$(jq -rs 'map(select(.kind == "windows")) | first | .device' "$run/systems")
	control_set=$(jq -rs 'map(select(.kind == "windows")) | first | .control_set' "$run/systems")
	where="partition $(jq -rs 'map(select(.kind == "windows")) | first | .partition' "$run/systems")"
	echo 'Windows Registry Editor Version 5.00' >"$reg"
	echo >>"$reg"
	: >"$run/injected"
	: >"$run/infs"
	: >"$run/sys"
	[ -z "$inject" ] || find "$inject" -maxdepth 1 -type f -iname '*.sys' | sort >"$run/sys"
	[ -z "$inject" ] || [ -s "$run/sys" ] || { problem 1 drivers "$inject: holds no .sys file"; return; }
	while IFS= read -r sys; do
		[ "$(head -c 2 "$sys")" = MZ ] || { problem 1 drivers "$sys: is no driver (no PE file)"; return; }
		windows_driver "$sys" >>"$reg" || return
	done <"$run/sys"
	for s in "${services[@]}"; do
		name=${s%%=*}
		[ -n "$(hive_get "$run/SYSTEM" "$control_set\\Services\\$name" Start)" ] || grep -qixF "$name" "$run/injected" ||
			{ problem 1 services "there is no service $name"; return; }
		reg_keys "$control_set\\Services\\$name" >>"$reg"
		printf '"Start"=dword:%08x\n\n' "$(windows_start "${s#*=}")" >>"$reg"
	done
	cp "$run/SYSTEM" "$run/SYSTEM.new"
	within_time hivexregedit --merge --prefix 'HKEY_LOCAL_MACHINE\SYSTEM' "$run/SYSTEM.new" "$reg" >"$run/merge" 2>&1 &&
		hive_opens "$run/SYSTEM.new" || { problem 3 "$where" "the registry does not take the change: $(head -n 1 "$run/merge")"; return; }
	windows_put "$dev" "$where" && windows_recheck "$dev" "$where"
}

windows_put() {
	local dev=$1 where=$2 sys at config
	ntfs_mount "$dev" rw || { problem 4 "$where" "it cannot be mounted for writing: ${why##*$'\n'}"; return 1; }
	config=$root/Windows/System32/config
	[ -w "$config" ] && [ "$(findmnt -no OPTIONS "$root" | grep -c '^rw')" -eq 1 ] ||
		{ problem 4 "$where" "it could be mounted read-only alone"; release; return 1; }
	(
		mkdir -p "$root/Windows/System32/drivers" "$root/Windows/INF" &&
			while IFS= read -r sys; do
				at=$root/Windows/System32/drivers/$(basename "$sys")
				cp -T --remove-destination "$sys" "$at.dm-new" && sync "$at.dm-new" && mv -fT "$at.dm-new" "$at" || exit 1
			done <"$run/sys" &&
			sort -u "$run/infs" | while IFS= read -r sys; do
				cp --remove-destination "$sys" "$root/Windows/INF/" || exit 1
			done &&
			{ [ -e "$config/SYSTEM.before-dm" ] || cp -T --remove-destination "$config/SYSTEM" "$config/SYSTEM.before-dm"; } &&
			cp -T --remove-destination "$run/SYSTEM.new" "$config/SYSTEM.dm-new" && sync "$config/SYSTEM.dm-new" &&
			mv -fT "$config/SYSTEM.dm-new" "$config/SYSTEM" && sync -f "$config"
	) 2>"$run/put" || {
		problem 4 "$where" "writing failed: $(tail -n 1 "$run/put")"
		rm -f "$config/SYSTEM.dm-new" "$root/Windows/System32/drivers/"*.dm-new
		release
		return 1
	}
	release
}

# What was written is read back from a fresh, read-only mount.
windows_recheck() {
	local dev=$1 where=$2 sys
	ntfsfix -n "$dev" >"$run/ntfsfix" 2>&1 && ntfs_mount "$dev" ro ||
		{ problem 4 "$where" "after writing its NTFS is not whole: ${why:-$(tail -n 1 "$run/ntfsfix")}"; return 1; }
	cmp -s "$run/SYSTEM.new" "$root/Windows/System32/config/SYSTEM" ||
		problem 4 "$where" "after writing the hive SYSTEM is not what was written"
	while IFS= read -r sys; do
		cmp -s "$sys" "$root/Windows/System32/drivers/$(basename "$sys")" ||
			problem 4 "$where" "after writing $(basename "$sys") is not what was written"
	done <"$run/sys"
	release
	jq -c --argjson in "$(jq -R . "$run/injected" | jq -sc .)" --argjson s "$(printf '%s\n' "${services[@]}" | jq -R 'select(. != "")' | jq -sc .)" \
	    'if .kind == "windows" then . + {injected: $in, services: $s} else . end' "$run/systems" >"$run/systems.new" &&
		mv "$run/systems.new" "$run/systems"
}
