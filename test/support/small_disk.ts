import {spawnSync} from 'node:child_process';
import {expect} from 'chai';

/**
 * Puts a disk of 64 KiB in the place of an empty folder while `body` runs.
 *
 * @returns false if it cannot be made: only root may, on Linux.
 */
export async function onSmallDisk(folder: string, body: () => unknown): Promise<boolean> {
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]);
  if (mount.status !== 0) return false;
  try {
    await body();
    return true;
  } finally {
    expect(spawnSync('umount', [folder]).status, 'umount').to.equal(0);
  }
}
