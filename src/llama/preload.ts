/** Provides all that a page would load on demand, and what only Node can do. */
import '../preload';
import {hubSource} from '../hub/hub_source';
import {provideHub} from './files/named_source';

provideHub(hubSource);
