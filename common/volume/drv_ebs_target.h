/* ebs: volumes, a snapshot being made: what drv_ebs_start.c and
 * drv_ebs_write.c share. */
#ifndef DM_VOLUME_DRV_EBS_TARGET_H
#define DM_VOLUME_DRV_EBS_TARGET_H

#include "volume/drv_ebs.h"
#include "volume/target_journal.h"

struct ebs_target {
	struct ebs_api api;
	struct ebs_reader *parent;	/* NULL: none */
	char *snapshot, *owner, *session;
	uint64_t size, volume;		/* bytes: of the disk, of the snapshot */
	uint32_t block_size;
	int algo;			/* of the source's root */
	uint32_t chunk_size;
	struct target_journal *journal;
	bool completed;
};

#endif
