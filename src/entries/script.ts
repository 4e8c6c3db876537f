/** The file for a script tag, which cannot load further files: the public API and all that it needs in a browser. */
import '../preload/in_browser';

export * from '../index';
export {applyLora, loadLora} from '../lora/index';
