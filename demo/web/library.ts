/** The library, from its source, whose worker Vite finds by itself; and where tfjs's binaries are. */
import stock from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url';
import simd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url';

export * from '../../src/worker/index';

/** What every call that starts a worker gets. */
export const workerOptions = {
  wasmPaths: {
    'tfjs-backend-wasm.wasm': new URL(stock, document.baseURI).href,
    'tfjs-backend-wasm-simd.wasm': new URL(simd, document.baseURI).href,
    // which tfjs wants named, and the library has it not load
    'tfjs-backend-wasm-threaded-simd.wasm': new URL(simd, document.baseURI).href,
  },
};
