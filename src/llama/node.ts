/** What Node loads: the models, with the kernels that a page would load on demand. */
import './preload';
import {prepareTfjsNode} from '../tfjs_node';

export * from './index';

prepareTfjsNode();
