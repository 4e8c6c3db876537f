import {existsSync} from 'node:fs';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {registerBackend, type BackendName} from '../src/cli/register_backend';
import {prepareTfjsNode} from '../src/tfjs/tfjs_node';

/**
 * Makes a tfjs backend usable in Node, for the tests, the demo and the benchmarks. It finds those that the command line finds, and
 * also tfjs-node as this repository builds it, and for webgpu the software driver that chromium brings.
 */
export {backendNames, type BackendName} from '../src/cli/register_backend';

/** How to get a backend that was not found. */
export const howToGet: Readonly<Record<BackendName, string>> = {
  cpu: 'npm install',
  wasm: 'npm install',
  tensorflow: '`npm install --no-save @tensorflow/tfjs-node`, or `bash scripts/build-tfjs-node.sh`',
  webgpu:
    "a Vulkan, Metal or D3D12 driver, or on Debian `apt-get install chromium libvulkan1` for chromium's SwiftShader",
};

/** Registers a backend with tfjs; false where this machine has no such backend. Does not select it. */
export async function loadBackend(name: BackendName): Promise<boolean> {
  if (await registerBackend(name)) return true;
  if (name === 'tensorflow') return loadOwnBuild();
  return name === 'webgpu' && registerWithSwiftShader();
}

const ownBuild = fileURLToPath(
  new URL('../.tfjs-node/node_modules/@tensorflow/tfjs-node/dist/index.js', import.meta.url),
);

/** tfjs-node as `scripts/build-tfjs-node.sh` built it. */
async function loadOwnBuild(): Promise<boolean> {
  if (!existsSync(ownBuild)) return false;
  prepareTfjsNode();
  await import(pathToFileURL(ownBuild).href);
  return true;
}

const swiftShader = '/usr/lib/chromium/vk_swiftshader_icd.json';

/** WebGPU on chromium's driver, which computes on the processor. */
async function registerWithSwiftShader(): Promise<boolean> {
  if (!existsSync(swiftShader)) return false;
  const before = process.env.VK_ICD_FILENAMES;
  process.env.VK_ICD_FILENAMES = swiftShader;
  if (await registerBackend('webgpu')) return true;
  if (before === undefined) delete process.env.VK_ICD_FILENAMES;
  else process.env.VK_ICD_FILENAMES = before;
  return false;
}
