/** What Node loads: the public API, with every part that a page would load on demand. */
import './preload';
import './lora/index';
import {prepareTfjsNode} from './tfjs_node';

export * from './index';

prepareTfjsNode();
