#!/bin/bash
# STORAGE=... STUDY=... sbatch --array=0-31 deploy/slurm.sh
#SBATCH --job-name=oncefit-workers
#SBATCH --array=0-7
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
# two minutes before the end of the time: a worker finishes the subnet it is at and leaves
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --output=oncefit-worker-%A-%a.log
set -euo pipefail

: "${STORAGE:?set it to the URL of the storage, without password, or to a path that ends in .journal}"
: "${STUDY:?set it to the name of the study, as given to oncefit search --study}"
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"

exec srun --cpus-per-task="$OMP_NUM_THREADS" oncefit work --storage "$STORAGE" --study "$STUDY" --wait 600 \
    ${SUPERNET:+--supernet "$SUPERNET"} ${DATA:+--data "$DATA"}
