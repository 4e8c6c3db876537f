import {spawnSync} from 'node:child_process';
import {basename} from 'node:path';
import {fileURLToPath} from 'node:url';

/**
 * Runs a benchmark once more, in a process of its own, which has one backend's code to compile, and all memory that others have left
 * behind; a crash ends only itself. If it fails, so does this process in the end.
 *
 * @param url The benchmark's `import.meta.url`.
 * @param options As `parseArgs` gives them.
 */
export function runApart(
  url: string,
  options: Readonly<Record<string, string | boolean | undefined>>,
): void {
  const program = fileURLToPath(url);
  const args = Object.entries(options).flatMap(([name, value]) => {
    if (typeof value === 'string') return [`--${name}`, value];
    return value ? [`--${name}`] : [];
  });
  const {status} = spawnSync(process.execPath, [...process.execArgv, program, ...args], {
    stdio: 'inherit',
  });
  if (status === 0) return;
  console.error(`failed: ${[basename(program, '.ts'), ...args].join(' ')}`);
  process.exitCode = 1;
}
