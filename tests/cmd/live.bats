# Running guests: points of their disks, and iterations while they write.
# bats file_tags=plain
load ../lib/common
load ../lib/guest

setup_file() { guest_build; }
setup() { dm_setup; }
teardown() { dm_teardown; }

@test "a guest starts from its disk, and its journals survive a power cut" {
	guest_boot_disk a.raw
	guest_data_disk b.raw
	guest_start vm a.raw b.raw
	guest_wait vm
	seen=$(guest_number vm)
	guest_kill vm
	read -r first last_a _ < <(journal_check a.raw)
	read -r _ last_b _ < <(journal_check b.raw)
	[ "$first" -eq 1 ] && [ "$last_a" -ge "$seen" ]
	[ "$last_b" -eq "$last_a" ] || [ "$last_b" -eq $((last_a - 1)) ]
}
